package drop

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestAJournalOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	journal, err := OpenJournal(path)
	require.NoError(t, err)
	sent := time.Now().Round(0).UTC()
	told := []Answer{
		{User: "u-1", N: 1, HTTP: 202, Status: coupon.StatusAccepted, Serial: 1, Sent: sent, Received: sent.Add(time.Millisecond)},
		{User: "u-2", N: 1, HTTP: 409, Code: coupon.CodeSoldOut, Sent: sent, Received: sent.Add(time.Second)},
	}
	for _, a := range told {
		require.NoError(t, journal.Add(a))
	}
	require.NoError(t, journal.Close())
	cutOff(t, path)

	again, err := OpenJournal(path)
	require.NoError(t, err)
	require.Equal(t, told, again.Answers())
	require.NoError(t, again.Add(told[0]))
	require.NoError(t, again.Close())
	again, err = OpenJournal(path)
	require.NoError(t, err)
	require.Equal(t, append(told, told[0]), again.Answers())
	require.EqualValues(t, 2, again.Tally().Granted)
	require.NoError(t, again.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(content), "xxx")
}

// cutOff leaves half a line behind, as a SIGKILL may.
func cutOff(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(`{"user":"u-3","unknown":"` + strings.Repeat("x", 1000))
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func TestManyWriteAtOnce(t *testing.T) {
	t.Parallel()
	const writers, each = 16, 50
	path := filepath.Join(t.TempDir(), "journal")
	journal, err := OpenJournal(path)
	require.NoError(t, err)
	var group errgroup.Group
	for w := range writers {
		group.Go(func() error {
			for i := range each {
				serial := int64(w*each + i + 1)
				answer := Answer{User: fmt.Sprintf("u-%d", serial), N: 1, HTTP: http.StatusAccepted, Status: coupon.StatusAccepted, Serial: serial}
				if err := journal.Add(answer); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, writers*each, journal.synced, "no promise is left to a later call to the disk")
	require.NoError(t, journal.Close())
	again, err := OpenJournal(path)
	require.NoError(t, err)
	require.ElementsMatch(t, journal.Answers(), again.Answers())
	require.NoError(t, again.Close())
}
