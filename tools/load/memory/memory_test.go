package memory

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
)

// TestRedis holds the curve to what must be true of any: a claim costs something, and a pending one more.
func TestRedis(t *testing.T) {
	t.Parallel()
	testenv.PrivateRedis(t) // there is a redis-server, or the reason why not
	curve, err := OfRedis(t.Context(), t.TempDir(), 5_000)
	require.NoError(t, err)
	require.Len(t, curve, steps)
	for i, p := range curve {
		require.Equal(t, 500*(i+1), p.Claims)
		require.Greater(t, p.Pending, p.Settled, "%+v", p)
		require.Positive(t, p.Cost, "%+v", p)
		require.Greater(t, p.Settled/int64(p.Claims), int64(36), "a name alone is longer: %+v", p)
		if i > 0 {
			require.Greater(t, p.Pending, curve[i-1].Pending)
		}
	}
}

func TestNamesAreDistinctAndLong(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, key := range crowdOf("c", 0, 100_000) {
		require.Len(t, key.User, 36)
		seen[key.User] = true
	}
	require.Len(t, seen, 100_000)
}

func TestMoreFilesThanTheSystemAllows(t *testing.T) {
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	require.NoError(t, allowFiles(10))
	require.ErrorContains(t, allowFiles(1<<40), "ulimit -n")
	var after syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after))
	require.Equal(t, limit, after)
}

func TestWhatIsAboveItsBoundIsSaidToBe(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	require.NoError(t, Report{Figures: []Figure{figure(Idle, 59.9), figure(Applying, 251), figure(Floor, 999)}}.Write(&text))
	lines := strings.Split(text.String(), "\n")
	require.Regexp(t, `idle.* 59\.9 +at most 60 *$`, lines[0])
	require.Regexp(t, `gin.* 999\.0 *$`, lines[2])
	require.Regexp(t, `applying.* 251\.0 +at most 250 +above it$`, lines[1])
}
