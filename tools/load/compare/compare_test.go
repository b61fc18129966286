package compare

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/load/arrival"
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
	table := rows(all, results, rateRatio)
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

func TestRatioOfLatencies(t *testing.T) {
	t.Parallel()
	waits := func(ms ...int) (rounds []Round) {
		for _, n := range ms {
			rounds = append(rounds, Round{Right: 1, Took: time.Second, P99: time.Duration(n) * time.Millisecond})
		}
		return rounds
	}
	table := rows([]contender{{name: "path"}, {name: "floor"}}, [][]Round{waits(4, 6, 9), waits(2, 2, 2)}, p99Ratio)
	require.Equal(t, Spread{Median: 3, Min: 2, Max: 4.5}, table[0].Ratio)
	require.InDelta(t, 6, table[0].P99, 1e-9)
	require.InDelta(t, 2, table[0].FloorP99, 1e-9)
}

func TestDrain(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	after := func(seconds ...int) (times []time.Time) {
		for _, n := range seconds {
			times = append(times, noon.Add(time.Duration(n)*time.Second))
		}
		return times
	}
	require.Equal(t, 3*time.Second, *drain(after(0, 1, 2), after(5)[0]))
	require.Zero(t, *drain(after(0, 2), after(1)[0]))
	require.Nil(t, drain(nil, noon))
	moments := course(after(0, 2, 4), after(1, 3, 7))
	require.Len(t, moments, 101)
	require.Equal(t, Moment{0.5, 2 * time.Second, 3 * time.Second}, moments[50])
	require.Equal(t, Moment{1, 4 * time.Second, 7 * time.Second}, moments[100])
	require.Nil(t, course(after(1), nil))

	slow, quick := 4*time.Second, 2*time.Second
	row := alone("path", []Round{{Drain: &slow}, {Drain: &quick}})
	require.Equal(t, Spread{Median: 3, Min: 2, Max: 4}, *row.Drain)
}

func TestWhoIsInterruptedKeepsTheWholeRounds(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var order []string
	path := clockwork("path", &order, 1, 500, 600, 700)
	floor := clockwork("floor", &order, 1, 1000, 1000, 1000)
	all := []contender{path, {"floor", func(ctx context.Context) (Round, error) {
		if len(order) == 6 { // of the third round the floor had its turn, and the path has not
			interrupt()
		}
		return floor.round(ctx)
	}}}
	results, err := turns(ctx, 3, quiet, all)
	require.ErrorIs(t, err, context.Canceled)
	table := rows(all, results, rateRatio)
	require.Len(t, table, 1)
	require.Len(t, table[0].Rounds, 2)
	require.InDelta(t, 0.55, table[0].Ratio.Median, 1e-9)
	require.ErrorContains(t, (&comparison{}).finish(ctx, &applicants{}, table, err), "interrupted")
	require.Empty(t, rows(all, make([][]Round, 2), rateRatio), "no round was whole")
}

func TestAWrongRoundIsSaid(t *testing.T) {
	t.Parallel()
	table := []Row{{Rounds: []Round{{}, {Wrong: "it lied"}}}}
	err := (&comparison{}).finish(t.Context(), &applicants{judged: 7}, table, nil)
	require.EqualError(t, err, "round 2 counts for nothing: it lied")
	require.EqualValues(t, 7, table[0].Judged)
	require.NoError(t, (&comparison{}).finish(t.Context(), &applicants{}, []Row{{Rounds: []Round{{}}}}, nil))
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
	require.Equal(t, Spread{Median: 2.5, Min: 1, Max: 4}, SpreadOf([]float64{4, 1, 3, 2}))
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
	s := &span{end: 2}
	require.Equal(t, []uint64{0, 1}, users(func() (uint64, bool) { a, more := s.Next(); return a.User, more }, 10))
	plan := arrival.Plan{Profile: arrival.Flat, Users: 100, Campaigns: 3, Even: true, Seed: 1}
	a := &among{Source: &span{end: 100}, plan: plan}
	came := make([]int, 3)
	require.Len(t, users(func() (uint64, bool) {
		apply, more := a.Next()
		require.Equal(t, plan.CampaignOf(apply.User), apply.Campaign)
		came[apply.Campaign]++
		return apply.User, more
	}, 1_000), 100)
	require.Greater(t, slices.Min(came), 15, "all are wanted alike")
	c := &cycling{count: 2}
	require.Equal(t, []uint64{1, 0, 1, 0}, users(func() (uint64, bool) { a, more := c.Next(); return a.User, more }, 4))
	fresh := &counting{next: 7}
	p := &planned{&span{end: 3}, fresh}
	require.Equal(t, []uint64{8, 9, 10}, users(func() (uint64, bool) { a, more := p.Next(); return a.User, more }, 10))
	late := &timed{Source: &counting{}, lasts: -time.Second}
	_, more := late.Next()
	require.False(t, more)
}
