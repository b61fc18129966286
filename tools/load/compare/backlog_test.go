package compare

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slowConsumer has so much left at each look, and holds so much; the first value is before any look.
type slowConsumer struct {
	left  []int64
	holds []int64
	looks int
}

func (s *slowConsumer) lag(context.Context) (int64, error) {
	s.looks++
	return s.left[s.looks-1], nil
}

func (s *slowConsumer) memory() (now, peak int64, err error) {
	for _, held := range s.holds[:s.looks+1] {
		now, peak = held, max(peak, held)
	}
	return now, peak, nil
}

func TestWhatAConsumerHoldsIsNotedUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	s := &slowConsumer{left: []int64{300_000, 200_001, 200_000, 50_000, 0}, holds: []int64{5, 10, 20, 30, 90, 40}}
	d := Drained{Events: 300_000}
	require.NoError(t, watched{s.lag, s.memory, time.Microsecond}.until(t.Context(), &d))
	require.Equal(t, Drained{Events: 300_000, Ready: 5, Warm: 30, Highest: 90, End: 40}, d)

	few := &slowConsumer{left: []int64{10, 0}, holds: []int64{5, 6, 7}}
	d = Drained{Events: 20}
	require.NoError(t, watched{few.lag, few.memory, time.Microsecond}.until(t.Context(), &d))
	require.Equal(t, Drained{Events: 20, Ready: 5, Warm: 7, Highest: 7, End: 7}, d)
}

func TestAConsumerThatEndsOrStandsStillIsAnError(t *testing.T) {
	t.Parallel()
	s := &slowConsumer{left: []int64{10, 10}, holds: []int64{1, 1, 1}}
	gone := errors.New("it has ended")
	memory := func() (now, peak int64, err error) {
		if s.looks == 2 {
			return 0, 0, gone
		}
		return s.memory()
	}
	require.ErrorIs(t, watched{s.lag, memory, time.Microsecond}.until(t.Context(), &Drained{Events: 20}), gone)

	ctx, cancel := context.WithCancel(t.Context())
	still := &slowConsumer{left: []int64{10, 10}, holds: []int64{1, 1, 1}}
	lag := func(ctx context.Context) (int64, error) {
		if still.looks == 0 {
			cancel()
		}
		return still.lag(ctx)
	}
	err := watched{lag, still.memory, time.Hour}.until(ctx, &Drained{Events: 20})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "10 events still wait")
}

func TestColdTurnsDoNotWarmUp(t *testing.T) {
	t.Parallel()
	var order []string
	results, err := coldTurns(t.Context(), 2, quiet, []contender{clockwork("path", &order, 5, 6), clockwork("floor", &order, 7, 8)})
	require.NoError(t, err)
	require.Equal(t, []string{"floor", "path", "path", "floor"}, order)
	require.Len(t, results[0], 2)
	require.EqualValues(t, 5, results[0][0].Right)
}

func TestABacklogHasALineOfItsOwn(t *testing.T) {
	t.Parallel()
	d := &Drained{Events: 1_000_000, LastRow: 50 * time.Second, Empty: 51 * time.Second, Ready: 1e6, Warm: 2e6, Highest: 4e6, End: 3e6}
	var text bytes.Buffer
	require.NoError(t, Write(&text, []Row{alone(Backlog, []Round{{Right: 1, Took: time.Second, Drained: d}})}))
	require.Contains(t, text.String(), "1,000,000 events: the last row after 50.0 s, nothing left after 51.0 s; the consumer held 1 MB when ready, "+
		"2 MB after 100,000 rows, 4 MB at the most, 3 MB at the end\n")
}
