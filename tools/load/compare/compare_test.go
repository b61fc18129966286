package compare

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clockwork is a contender whose rounds have the given rates, and which notes its turns.
func clockwork(name string, turn *[]string, rates ...int64) contender {
	round := 0
	return contender{name, func(context.Context) (Round, error) {
		*turn = append(*turn, name)
		r := Round{Right: rates[round], Other: rates[round], Took: time.Second, Server: time.Second, Client: 2 * time.Second}
		round++
		return r, nil
	}}
}

func quiet(string, ...any) {}

func TestTurns(t *testing.T) {
	t.Parallel()
	var order []string
	all := []contender{clockwork("path", &order, 1, 500, 400, 300), clockwork("floor", &order, 1, 1000, 1000, 2000)}
	results, err := turns(t.Context(), 3, quiet, all)
	require.NoError(t, err)
	require.Equal(t, []string{"path", "floor", "floor", "path", "path", "floor", "floor", "path"}, order, "who begins alternates")
	table := rows(all, results)
	require.Len(t, table, 1)
	row := table[0]
	require.Equal(t, "path", row.Path)
	require.Equal(t, "floor", row.Floor)
	require.InDelta(t, 400, row.Rate, 1e-9)
	require.InDelta(t, 1000, row.FloorRate, 1e-9)
	require.Equal(t, Spread{Median: 0.4, Min: 0.15, Max: 0.5}, row.Ratio)
	require.InDelta(t, 2.5, row.ServerCPU, 1e-9)
	require.InDelta(t, 1, row.FloorCPU, 1e-9)
	require.InDelta(t, 5, row.ClientCPU, 1e-9)
	require.InDelta(t, 0.5, row.OtherShare, 1e-9)

	var text bytes.Buffer
	require.NoError(t, Write(&text, append(table, alone("gin", results[1]))))
	require.Contains(t, text.String(), "0.150..0.500")
	require.Contains(t, text.String(), "gin")
}

func TestAFailureEndsTheTurns(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := turns(t.Context(), 3, quiet, []contender{{"path", func(context.Context) (Round, error) { return Round{}, broken }}})
	require.ErrorIs(t, err, broken)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = turns(ctx, 3, quiet, []contender{clockwork("path", &[]string{}, 1, 1, 1, 1)})
	require.ErrorIs(t, err, context.Canceled)
}

func TestSpreadOfAnEvenNumber(t *testing.T) {
	t.Parallel()
	require.Equal(t, Spread{Median: 2.5, Min: 1, Max: 4}, spread([]float64{4, 1, 3, 2}))
}

func TestProcessorTime(t *testing.T) {
	t.Parallel()
	ticks, err := ticksOf("42 (a) b) S 1 2 3 4 5 6 7 8 9 10 110 12 0 0 20 0")
	require.NoError(t, err)
	require.EqualValues(t, 122, ticks)
	_, err = ticksOf("42 (short) S")
	require.Error(t, err)
	_, err = processorTime([]int{-1})
	require.Error(t, err)

	before, err := processorTime([]int{os.Getpid()})
	require.NoError(t, err)
	used := before
	for began := time.Now(); used-before < 2*tick && time.Since(began) < time.Minute; {
		used, err = processorTime([]int{os.Getpid()})
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, used-before, 2*tick)
}

func TestSources(t *testing.T) {
	t.Parallel()
	users := func(next func() (uint64, bool), most int) (got []uint64) {
		for user, more := next(); more && len(got) < most; user, more = next() {
			got = append(got, user)
		}
		return got
	}
	s := &span{next: ^uint64(0), end: 2}
	require.Equal(t, []uint64{0, 1, 2}, users(func() (uint64, bool) { a, more := s.Next(); return a.User, more }, 10))
	c := &cycling{count: 2}
	require.Equal(t, []uint64{1, 0, 1, 0}, users(func() (uint64, bool) { a, more := c.Next(); return a.User, more }, 4))
	late := &timed{Source: &counting{}, lasts: -time.Second}
	_, more := late.Next()
	require.False(t, more)
}
