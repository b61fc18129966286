package mysqlstore

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func (b *bundle) lowered(id string, delta int64) coupon.Campaign {
	b.tb.Helper()
	c, err := b.BeginLowering(b.tb.Context(), id, delta, "fewer", "kim")
	require.NoError(b.tb, err)
	return c
}

func (b *bundle) ledger(id string) []coupon.Adjustment {
	b.tb.Helper()
	ledger, err := b.Adjustments(b.tb.Context(), id, 0, 100)
	require.NoError(b.tb, err)
	return ledger
}

// What Redis may have given out is asked of Redis. While it is asked, nothing else of the stock that it knows moves.
func TestLoweringTakenAndRefused(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"taken": true, "refused": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			const id = "lower"
			b.opened(id, 10)
			raised, err := b.RaiseLimit(t.Context(), id, 2, "", "")
			require.NoError(t, err)

			wish := b.lowered(id, 5)
			require.Equal(t, stockOf{12, 12, 7, 5}, numbers(wish), "only as far down as hi must go")
			require.Equal(t, raised.Version+1, wish.Version)
			require.EqualValues(t, 7, wish.Document().Hi)
			_, err = b.BeginLowering(t.Context(), id, 1, "", "")
			require.Equal(t, coupon.CodeAdjusting, coupon.CodeOf(err))
			c, err := b.RaiseWanted(t.Context(), wish.Ref(), wish.Version, 12)
			require.NoError(t, err)
			require.EqualValues(t, 7, c.HiWanted, "not while a lowering is open")
			_, err = b.RaiseLimit(t.Context(), id, 1, "", "")
			require.NoError(t, err)

			for range 2 { // whoever comes second is told the same
				c, err = b.FinishLowering(t.Context(), wish.Document(), taken)
				require.Equal(t, wish.Version+1, c.Version)
				if taken {
					require.NoError(t, err)
					require.Equal(t, stockOf{8, 8, 7, 0}, numbers(c))
					require.Len(t, b.ledger(id), 3)
					entry := b.ledger(id)[2]
					require.Equal(t, coupon.AdjustmentLower, entry.Kind)
					require.EqualValues(t, -5, entry.Delta)
					require.Equal(t, "fewer", entry.Reason)
					require.Equal(t, "kim", entry.Actor)
					continue
				}
				require.Equal(t, coupon.CodeLimitBelowClaimed, coupon.CodeOf(err))
				require.Equal(t, stockOf{13, 13, 10, 0}, numbers(c))
				require.Len(t, b.ledger(id), 2)
			}
			require.Zero(t, scan[int64](b, "SELECT COUNT(*) FROM lowerings"))
		})
	}
}

// Redis was never told of places between hi_wanted and hi: it cannot have given them out, however much it has.
func TestLoweringWhatRedisNeverKnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "unknown"
	b.opened(id, 10)
	b.issued(id, batchOf(id, 10)...)
	_, err := b.RaiseLimit(t.Context(), id, 5, "", "")
	require.NoError(t, err)
	require.Equal(t, stockOf{11, 11, 10, 0}, numbers(b.lowered(id, 4)))
	_, err = b.BeginLowering(t.Context(), id, 2, "", "")
	require.Equal(t, coupon.CodeLimitBelowClaimed, coupon.CodeOf(err))
	require.EqualValues(t, -4, b.ledger(id)[1].Delta)
}

func TestLoweringInModeSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "sql"
	epoch := b.sells(id, 10).Epoch
	b.direct(id, epoch, wish(id, "a", 1), wish(id, "b", 1), wish(id, "c", 1))
	c := b.lowered(id, 6)
	require.Equal(t, stockOf{4, 4, 4, 0}, numbers(c))
	_, err := b.BeginLowering(t.Context(), id, 2, "", "")
	require.Equal(t, coupon.CodeLimitBelowClaimed, coupon.CodeOf(err))
	b.lowered(id, 1)
	require.Equal(t, []coupon.Verdict{coupon.RefusedSoldOut}, verdicts(b.direct(id, epoch, wish(id, "d", 1))))
	_, err = b.RaiseLimit(t.Context(), id, 1, "", "")
	require.NoError(t, err)
	require.Equal(t, []coupon.Verdict{coupon.Granted}, verdicts(b.direct(id, epoch, wish(id, "d", 1))))
	b.requireConserved(id)
}

// An answer about an earlier wish settles no later one, though both take as many places from the same hi.
func TestLoweringHeedsNoOldAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "old"
	b.opened(id, 10)
	first := b.lowered(id, 5)
	_, err := b.FinishLowering(t.Context(), first.Document(), true)
	require.NoError(t, err)
	raised, err := b.RaiseLimit(t.Context(), id, 5, "", "")
	require.NoError(t, err)
	_, err = b.RaiseWanted(t.Context(), raised.Ref(), raised.Version, 10)
	require.NoError(t, err)
	second := b.lowered(id, 5)
	require.Equal(t, numbers(first), numbers(second))

	c, err := b.FinishLowering(t.Context(), first.Document(), true) // a server that slept since the first
	require.NoError(t, err, "the first one was done")
	require.Equal(t, stockOf{10, 10, 5, 5}, numbers(c), "the second one is open still")
	_, err = b.FinishLowering(t.Context(), second.Document(), false)
	require.Equal(t, coupon.CodeLimitBelowClaimed, coupon.CodeOf(err))
	require.Equal(t, stockOf{10, 10, 10, 0}, b.stock(id))
}

// A document pushed for another reason while the wish is open is an answer too: its hi is that of the wish.
func TestLoweringFinishedByALaterPush(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "push"
	b.opened(id, 10)
	b.lowered(id, 5)
	paused, err := b.SetStatus(t.Context(), id, coupon.CampaignPaused)
	require.NoError(t, err)
	_, err = b.FinishLowering(t.Context(), paused.Document(), true)
	require.NoError(t, err)
	require.Equal(t, stockOf{5, 5, 5, 0}, b.stock(id))
}

// The fence settles an open lowering by what is taken, and whoever wished it is told how it ended.
func TestLoweringSettledByTheFence(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		issued int
		want   coupon.Code
		limit  int64
		hi     int64
	}{
		"possible":   {4, "", 5, 10 + 1},
		"impossible": {6, coupon.CodeLimitBelowClaimed, 10, 10 + 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			const id = "fence"
			b.opened(id, 10)
			wish := b.lowered(id, 5)
			b.issued(id, batchOf(id, c.issued)...)
			b.mustExec("UPDATE campaigns SET epoch_state = 'fencing'")
			next, err := b.CloseEpoch(t.Context(), wish.Ref(), coupon.ModeRedis)
			require.NoError(t, err)
			require.Equal(t, stockOf{c.limit, c.hi, c.hi, 0}, numbers(next))

			_, err = b.FinishLowering(t.Context(), wish.Document(), c.want != "")
			require.Equal(t, c.want, coupon.CodeOf(err))
			require.Equal(t, numbers(next), b.stock(id))
		})
	}
}

// An epoch that is loading has given nothing out, and opens with what is left.
func TestLoweringWhileLoading(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "loading"
	b.opened(id, 10)
	b.issued(id, batchOf(id, 4)...)
	b.mustExec("UPDATE campaigns SET epoch_state = 'fencing'")
	next, err := b.CloseEpoch(t.Context(), coupon.EpochRef{Campaign: id, Epoch: 1}, coupon.ModeRedis)
	require.NoError(t, err)
	require.Equal(t, stockOf{8, 14, 14, 0}, numbers(b.lowered(id, 2)))
	doc, err := b.ActivateEpoch(t.Context(), next.Document())
	require.NoError(t, err)
	require.EqualValues(t, 14, doc.Hi)
}

// Events that were filed after their epoch's end were no promise: they keep no place from being taken.
func TestLoweringDisregardsWhatWasNoPromise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "late"
	b.opened(id, 10)
	b.keep(claimOf(id, "carried", 1, 1, 1), coupon.FailureParked)
	b.activated(b.fenced(id, coupon.ModeRedis))
	for serial := int64(2); serial <= 5; serial++ {
		b.keep(claimOf(id, fmt.Sprint("late", serial), 1, 1, serial), coupon.FailureParked)
	}
	b.keep(claimOf(id, "current", 1, 2, 12), coupon.FailureParked)
	_, err := b.BeginLowering(t.Context(), id, 9, "", "")
	require.Equal(t, coupon.CodeLimitBelowClaimed, coupon.CodeOf(err), "two places are kept")
	require.EqualValues(t, 8, b.lowered(id, 8).Lowering)
}
