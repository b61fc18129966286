package drop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRestIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newScene(t, database(t))
	backlog := int64(3)
	looks := 0
	rest, err := WaitForRest(t.Context(), s.db, s.campaign, Wait{
		Rows: 6,
		Backlog: func(context.Context) (int64, error) {
			looks++
			switch looks {
			case 1:
				return 0, errors.New("no broker answers")
			case 2, 3:
				backlog--
			case 4:
				s.row(6, "u-6", 1)
			case 5:
				s.row(7, "u-7", 1) // one too many, while the consumers still work
				backlog = 0
			}
			return backlog, nil
		},
	})
	require.NoError(t, err)
	require.EqualValues(t, 7, rest.Rows)
	require.WithinDuration(t, s.start, rest.LastRow, time.Microsecond)
	require.Equal(t, 5, looks)
}

func TestRestComesWithoutTheRows(t *testing.T) {
	t.Parallel()
	s := newScene(t, database(t))
	var seen []int64
	rest, err := WaitForRest(t.Context(), s.db, s.campaign, Wait{
		Rows: 6, Quiet: 100 * time.Millisecond, Progress: func(rows int64) { seen = append(seen, rows) },
	})
	require.NoError(t, err)
	require.EqualValues(t, 5, rest.Rows)
	require.Greater(t, len(seen), 1)
}

func TestABacklogIsNoRest(t *testing.T) {
	t.Parallel()
	s := newScene(t, database(t))
	start, looks := time.Now(), 0
	rest, err := WaitForRest(t.Context(), s.db, s.campaign, Wait{
		Rows: 7, Quiet: 200 * time.Millisecond,
		Backlog: func(context.Context) (int64, error) {
			if time.Since(start) < 400*time.Millisecond {
				return 1, nil
			}
			if looks++; looks == 2 {
				s.row(6, "u-6", 1)
			}
			return 0, nil
		},
	})
	require.NoError(t, err)
	require.EqualValues(t, 6, rest.Rows)
}

func TestNoRestIsAnError(t *testing.T) {
	t.Parallel()
	s := newScene(t, database(t))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := WaitForRest(ctx, s.db, s.campaign, Wait{Rows: 5, Backlog: func(context.Context) (int64, error) { return 2, nil }})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "5 rows of 5, backlog 2")
}
