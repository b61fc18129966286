package fence

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func rebuild(t *testing.T, w *world, mode coupon.Mode, ids ...string) error {
	t.Helper()
	campaigns := make([]coupon.Campaign, len(ids))
	for i, id := range ids {
		campaigns[i] = w.campaign(id)
	}
	return w.fence(0, false).Rebuild(t.Context(), campaigns, mode)
}

func TestRebuildTakesTheStepsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("a", 3, 2)
		began := time.Now()
		require.NoError(t, rebuild(t, w, coupon.ModeRedis, "a"))
		require.Equal(t, []string{
			"begin", "fence a", "flush a", "barrier", "committed", "committed", "close a", "seal a", "prepare a",
			"read carried a", "load a 2 c", "load a 3 i", "loaded a", "activate a", "open a", "discard a",
		}, without(w.steps, "read carried a", "read rows a"))
		require.Equal(t, viewsGone, time.Since(began), "servers may know the old epoch for 2 s")
		w.requireWhole(t, "a")
	})
}

// without drops the repeated reads, which go on while the last page is being loaded.
func without(steps []string, repeated ...string) (kept []string) {
	seen := map[string]bool{}
	for _, step := range steps {
		if step == repeated[1] || step == repeated[0] && seen[step] {
			continue
		}
		seen[step] = true
		kept = append(kept, step)
	}
	return kept
}

func TestRebuildIntoModeSQL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("a", 3, 0)
		require.NoError(t, rebuild(t, w, coupon.ModeSQL, "a"))
		require.Equal(t, []string{"begin", "barrier", "committed", "committed", "close a"}, w.steps)
		require.Equal(t, coupon.EpochActive, w.campaign("a").EpochState)
	})
}

func TestRebuildRetiresAClosedCampaign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("a", 3, 0).Status = coupon.CampaignClosed
		require.NoError(t, rebuild(t, w, coupon.ModeRedis, "a"))
		require.Equal(t, "close a", w.steps[len(w.steps)-1])
		require.Equal(t, coupon.EpochClosed, w.campaign("a").EpochState)
	})
}

func TestRebuildEntersWhereTheRecordSaysItStands(t *testing.T) {
	t.Parallel()
	for state, c := range map[coupon.EpochState]struct {
		first string
		steps int
	}{
		coupon.EpochFencing: {"begin", 1},
		coupon.EpochLoading: {"take over a", 0},
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.add("a", 3, 2).EpochState = state
				require.NoError(t, rebuild(t, w, coupon.ModeRedis, "a"))
				require.Equal(t, c.first, w.steps[0])
				require.Equal(t, c.steps, strings.Count(strings.Join(w.steps, " "), "barrier"))
				require.EqualValues(t, 2, w.campaign("a").Epoch, "never the number it had")
				w.requireWhole(t, "a")
			})
		})
	}
}

func TestRebuildLeavesAloneWhatIsElsewhereByNow(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add("a", 3, 2)
	before := w.campaign("a")
	w.books["a"].Epoch = 7
	require.NoError(t, w.fence(0, false).Rebuild(t.Context(), []coupon.Campaign{before}, coupon.ModeRedis))
	require.Equal(t, []string{"begin"}, w.steps)
}

// Killed before or after every step, and taken on by another process that knows nothing but what MySQL and Redis say.
func TestRebuildIsResumedFromAnyStep(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for n, done := 1, false; !done; n++ {
			t.Run(fmt.Sprintf("step %d late %v", n, late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					w.add("a", 3, 2)
					w.add("b", 1001, 0).Limit = 3000
					dying := w.fence(n, late)
					ctx, kill := context.WithCancel(t.Context())
					defer kill()
					w.process.kill = kill
					err := dying.Rebuild(ctx, []coupon.Campaign{w.campaign("a"), w.campaign("b")}, coupon.ModeRedis)
					done = !w.process.dead
					require.Equal(t, done, err == nil)
					for _, id := range []string{"a", "b"} {
						w.resume(t, id)
						w.requireWhole(t, id)
					}
				})
			})
			require.Less(t, n, 100)
		}
	}
}

// resume does what a warden does of a campaign that it finds somewhere in a fence.
func (w *world) resume(t *testing.T, id string) {
	t.Helper()
	<-time.After(11 * time.Second) // a loading is left alone for 10 s
	c := w.campaign(id)
	f := w.fence(0, false)
	switch opened := w.redis[id].document.Epoch == c.Epoch; {
	case c.EpochState != coupon.EpochActive || c.Epoch == 1:
		require.NoError(t, f.Rebuild(t.Context(), []coupon.Campaign{c}, coupon.ModeRedis))
	case !opened:
		require.NoError(t, f.Open(t.Context(), c))
	}
}

func TestOneCampaignThatFailsStopsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var ids []string
		for i := range 20 {
			ids = append(ids, fmt.Sprint("c", i))
			w.add(ids[i], i, i%3)
		}
		w.meddle = func(_ context.Context, step string) error {
			if step == "close c3" || step == "seal c7" || step == "activate c11" {
				return errAway
			}
			return nil
		}
		err := rebuild(t, w, coupon.ModeRedis, ids...)
		require.ErrorIs(t, err, errAway)
		for i, id := range ids {
			if i == 3 || i == 7 || i == 11 {
				require.ErrorContains(t, err, "rebuild of "+id+":")
				continue
			}
			w.requireWhole(t, id)
		}
		require.Equal(t, 1, strings.Count(strings.Join(w.steps, " "), "barrier"), "one barrier and one drain serve all")
	})
}

func TestALockedRowKeepsNoOtherCampaignFromItsFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.locked = "b"
		for _, id := range []string{"a", "b", "c"} {
			w.add(id, 3, 2)
		}
		err := rebuild(t, w, coupon.ModeRedis, "a", "b", "c")
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
		require.ErrorContains(t, err, "rebuild of b:")
		w.requireWhole(t, "a")
		w.requireWhole(t, "c")
		require.Equal(t, coupon.EpochActive, w.campaign("b").EpochState)
		require.Equal(t, 1, strings.Count(strings.Join(w.steps, " "), "barrier"), "one barrier and one drain serve them")
	})
}

func TestALoadingDoesNotWaitForTheDrainOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("a", 3, 2)
		w.add("b", 3, 2).EpochState = coupon.EpochLoading
		w.meddle = func(_ context.Context, step string) error {
			if step == "committed" {
				return errAway
			}
			return nil
		}
		f := w.fence(0, false)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- f.Rebuild(ctx, []coupon.Campaign{w.campaign("a"), w.campaign("b")}, coupon.ModeRedis)
		}()
		<-time.After(time.Minute)
		w.requireWhole(t, "b")
		require.Equal(t, coupon.EpochFencing, w.campaign("a").EpochState)
		require.Equal(t, "the log is drained: 3 of 3 partitions are behind: away", f.Stands())
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func TestALogThatTakesNoBarrierEndsTheFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("a", 3, 2)
		w.silent = true
		began := time.Now()
		require.ErrorIs(t, rebuild(t, w, coupon.ModeRedis, "a"), context.DeadlineExceeded)
		require.Equal(t, barrierBound, time.Since(began))
		w.silent = false
		require.NoError(t, rebuild(t, w, coupon.ModeRedis, "a"))
		w.requireWhole(t, "a")
	})
}

func TestAPartitionThatWasReachedStaysReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("a", 1, 0)
		looks := 0
		w.meddle = func(_ context.Context, step string) error {
			if step != "committed" {
				return nil
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			switch looks++; looks {
			case 1:
				w.read = []int64{w.ends[0], 0, 0}
			case 2:
				return errAway // a broker that is silent for a moment ends nothing
			case 3:
				w.read = []int64{0, w.ends[1], w.ends[2]} // the old owner commits late
			default:
				require.Fail(t, "every partition was reached")
			}
			return nil
		}
		require.NoError(t, rebuild(t, w, coupon.ModeRedis, "a"))
		w.requireWhole(t, "a")
	})
}

func TestTheDrainWaitsForAsLongAsItMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add("a", 1, 0)
		w.meddle = func(_ context.Context, step string) error {
			if step == "committed" {
				return errAway
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := w.fence(0, false).Rebuild(ctx, []coupon.Campaign{w.campaign("a")}, coupon.ModeRedis)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errAway)
		require.Equal(t, coupon.EpochFencing, w.campaign("a").EpochState, "nothing is closed before the log is drained")
	})
}

func TestASilentRedisCostsTheSweepTwoSecondsAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var ids []string
		for i := range 50 {
			ids = append(ids, fmt.Sprint("c", i))
			w.add(ids[i], 1, 0)
		}
		began := time.Now()
		w.meddle = func(ctx context.Context, step string) error {
			switch {
			case strings.HasPrefix(step, "fence"):
				select {
				case <-time.After(900 * time.Millisecond):
					return errAway
				case <-ctx.Done():
					return ctx.Err()
				}
			case step == "barrier":
				require.LessOrEqual(t, time.Since(began), sweepBound)
			case strings.HasPrefix(step, "flush"):
				require.Fail(t, "flushed what could not be fenced")
			}
			return nil
		}
		require.NoError(t, rebuild(t, w, coupon.ModeRedis, ids...))
	})
}

func TestLoadingShowsItsProgressAndStopsWhenItIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := w.add("a", 20_500, 0)
		c.Limit, c.highest = 30_000, 30_000
		var touched time.Time
		loads := 0
		w.meddle = func(_ context.Context, step string) error {
			switch {
			case step == "close a":
				touched = time.Now()
			case step == "touch a":
				require.LessOrEqual(t, time.Since(touched), 2*time.Second)
				touched = time.Now()
			case strings.HasPrefix(step, "load a"):
				<-time.After(700 * time.Millisecond)
				if loads++; loads == 15 {
					w.mu.Lock()
					c.Epoch++ // another warden's
					w.mu.Unlock()
				}
			}
			return nil
		}
		err := rebuild(t, w, coupon.ModeRedis, "a")
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
		require.Contains(t, []int{15, 16}, loads, "it stops at the next touch")
		require.Less(t, time.Since(touched), 2*time.Second)
		require.NotContains(t, w.steps, "activate a")
	})
}
