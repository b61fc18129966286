package mysqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestCloseEpochCarriesLiveEventsOncePerPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "carry"
	b.opened(id, 100)
	b.opened("other", 100)
	for serial := range int64(30) {
		b.issued(id, delivery(claimOf(id, fmt.Sprint("u", serial), 1, 1, serial+1)))
	}
	b.keep(claimOf(id, "pending", 1, 1, 31), coupon.FailurePending)
	b.keep(claimOf(id, "parked", 1, 1, 32), coupon.FailureParked)
	b.keep(claimOf(id, "leased", 1, 1, 33), coupon.FailureLeased)
	b.keep(claimOf(id, "twice", 1, 1, 34), coupon.FailurePending)
	b.keep(claimOf(id, "twice", 1, 1, 35), coupon.FailureParked)
	b.keep(claimOf(id, "twice", 2, 1, 36), coupon.FailureParked)
	b.keep(claimOf(id, "u0", 1, 1, 1), coupon.FailurePending) // has its row
	b.keep(claimOf(id, "done", 1, 1, 38), coupon.FailureDone)
	b.keep(claimOf(id, "discarded", 1, 1, 39), coupon.FailureDiscarded)
	b.keep(claimOf(id, "dead", 1, 1, 40), coupon.FailureDead)
	b.keep(claimOf("other", "elsewhere", 1, 1, 1), coupon.FailurePending)
	old := b.campaign(id)
	b.age(id, time.Hour)

	next := b.fenced(id, coupon.ModeRedis)

	const carried = 5 // pending, parked, leased, twice 1, twice 2
	require.EqualValues(t, 2, next.Epoch)
	require.Equal(t, coupon.EpochLoading, next.EpochState)
	require.EqualValues(t, 100+carried+1, next.Lo)
	require.Equal(t, next.Lo+(100-30-carried)-1, next.Hi)
	require.Equal(t, next.HiWanted, next.Hi)
	require.Greater(t, next.Version, old.Version)
	require.Empty(t, next.Seal)
	require.False(t, next.EpochSince.Before(old.EpochSince))
	require.Equal(t, 7, scan[int](b, "SELECT COUNT(*) FROM failed_events WHERE carried"), "every live one of this campaign")
	require.Equal(t, 1, scan[int](b, `SELECT COUNT(*) FROM campaign_epochs WHERE epoch = 1 AND state = 'closed'
		AND closed_at IS NOT NULL AND hi_max = 100`))
	require.Equal(t, 1, scan[int](b, `SELECT COUNT(*) FROM campaign_epochs WHERE epoch = 2 AND state = 'loading'
		AND opened_at IS NULL AND hi_max = hi`))
}

// An event that was kept after its epoch ended was no promise: no fence makes it one, or a campaign that is sold out would
// owe more than it has.
func TestCloseEpochDoesNotCarryWhatWasKeptLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "late"
	b.opened(id, 10)
	b.reopen(id)
	late := claimOf(id, "late", 1, 1, 3)
	b.keep(late, coupon.FailurePending)
	retry := coupon.Delivery{Claim: late, FailedID: scan[int64](b, "SELECT id FROM failed_events")}
	b.activated(b.fenced(id, coupon.ModeRedis))
	require.False(t, scan[bool](b, "SELECT carried FROM failed_events"))
	next := b.campaign(id)
	require.EqualValues(t, 10, next.Hi-next.Lo+1, "it keeps no place")
	totals, err := b.Totals(t.Context(), id)
	require.NoError(t, err)
	require.Zero(t, totals.Live())
	require.Equal(t, coupon.OutcomeStale, b.issued(id, retry)[0].Outcome)
}

func TestCloseEpochNeedsItsFence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("a", 10)
	unavailable := func(ref coupon.EpochRef) {
		t.Helper()
		_, err := b.CloseEpoch(t.Context(), ref, coupon.ModeRedis)
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	}
	unavailable(coupon.EpochRef{Campaign: "a", Epoch: 1})
	ref := b.fencing("a")
	unavailable(coupon.EpochRef{Campaign: "a", Epoch: 2})
	before := b.campaign("a")
	require.EqualValues(t, 1, before.Epoch)
	_, err := b.CloseEpoch(t.Context(), ref, coupon.ModeRedis)
	require.NoError(t, err)
	unavailable(ref)
	_, err = b.CloseEpoch(t.Context(), coupon.EpochRef{Campaign: "none", Epoch: 1}, coupon.ModeRedis)
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))
}

func TestCloseEpochConcurrently(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("race", 10)
	ref := b.fencing("race")
	won := atOnce(t, 6, func() (coupon.Campaign, error) { return b.CloseEpoch(t.Context(), ref, coupon.ModeRedis) })
	require.Len(t, won, 1)
	require.Equal(t, 2, scan[int](b, "SELECT COUNT(*) FROM campaign_epochs"))
	require.EqualValues(t, 2, b.campaign("race").Epoch)
}

// Into sql mode and back: the way out ends at the last serial that was given, and none is given twice.
func TestModesHandOverDisjointSerials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "modes"
	b.opened(id, 10)
	b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)), delivery(claimOf(id, "b", 1, 1, 2)))
	lost := claimOf(id, "c", 1, 1, 2)
	require.Equal(t, coupon.OutcomeParked, b.issued(id, delivery(lost))[0].Outcome)

	sql := b.fenced(id, coupon.ModeSQL)
	require.Equal(t, coupon.EpochActive, sql.EpochState)
	require.Equal(t, coupon.ModeSQL, sql.Mode)
	require.Equal(t, []int64{12, 12, 18, 18}, []int64{sql.Lo, sql.NextSerial, sql.HiWanted, sql.Hi})
	require.Equal(t, "pending", scan[string](b, "SELECT status FROM failed_events"), "it may be retried now")
	b.mustExec("UPDATE campaigns SET next_serial = next_serial + 3, issued = issued + 3 WHERE slug = ?", id)

	redis := b.fenced(id, coupon.ModeRedis)
	require.EqualValues(t, 14, scan[int64](b, "SELECT hi_max FROM campaign_epochs WHERE epoch = 2"), "12, 13 and 14 were given")
	require.Equal(t, coupon.ModeRedis, redis.Mode)
	require.Equal(t, []int64{16, 19}, []int64{redis.Lo, redis.Hi}, "ten places, five taken, one carried")
	require.Equal(t, coupon.EpochLoading, redis.EpochState)
	require.Equal(t, "sql", scan[string](b, "SELECT mode FROM campaign_epochs WHERE epoch = 2"))
	require.Equal(t, "redis", scan[string](b, "SELECT mode FROM campaign_epochs WHERE epoch = 3"))
}

func TestCloseEpochSettlesAnOpenLowering(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lowering, limit int64
		late            int // events kept after the wish
		mode            coupon.Mode
	}{
		"done":            {lowering: 4, limit: 6, mode: coupon.ModeRedis},
		"done to the end": {lowering: 7, limit: 3, mode: coupon.ModeSQL},
		"refused":         {lowering: 7, limit: 10, late: 1, mode: coupon.ModeRedis},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.opened("low", 10)
			b.issued("low", delivery(claimOf("low", "a", 1, 1, 1)), delivery(claimOf("low", "b", 1, 1, 2)))
			b.keep(claimOf("low", "c", 1, 1, 3), coupon.FailureParked)
			wish, err := b.BeginLowering(t.Context(), "low", c.lowering, "too many", "ann")
			require.NoError(t, err)
			require.Equal(t, c.lowering, wish.Lowering)
			for i := range c.late {
				b.keep(claimOf("low", fmt.Sprint("late", i), 1, 1, int64(4+i)), coupon.FailurePending)
			}

			next := b.fenced("low", c.mode)

			require.Zero(t, next.Lowering)
			require.Equal(t, c.limit, next.Limit)
			require.Equal(t, c.limit-3-int64(c.late), next.Hi-next.Lo+1)
			require.Equal(t, next.HiWanted, next.Hi)
			ledger, err := b.Adjustments(t.Context(), "low", 0, 10)
			require.NoError(t, err)
			if c.limit == 10 {
				require.Empty(t, ledger)
				return
			}
			require.Len(t, ledger, 1)
			require.Equal(t, coupon.AdjustmentLower, ledger[0].Kind)
			require.Equal(t, -c.lowering, ledger[0].Delta)
			require.Equal(t, "too many", ledger[0].Reason)
		})
	}
}

func TestRetiringAClosedCampaign(t *testing.T) {
	t.Parallel()
	for _, mode := range []coupon.Mode{coupon.ModeRedis, coupon.ModeSQL} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.opened("shut", 10)
			b.keep(claimOf("shut", "a", 1, 1, 1), coupon.FailureParked)
			if mode == coupon.ModeSQL {
				b.fenced("shut", mode)
			}
			epoch := b.campaign("shut").Epoch
			_, err := b.SetStatus(t.Context(), "shut", coupon.CampaignClosed)
			require.NoError(t, err)

			retired := b.fenced("shut", coupon.ModeRedis)

			require.Equal(t, coupon.EpochClosed, retired.EpochState)
			require.Equal(t, epoch, retired.Epoch)
			require.Equal(t, epoch, scan[int64](b, "SELECT COUNT(*) FROM campaign_epochs WHERE state = 'closed'"))
			require.True(t, scan[bool](b, "SELECT carried FROM failed_events"))
			watched, err := b.Watched(t.Context())
			require.NoError(t, err)
			require.Empty(t, watched)
			view, err := b.View(t.Context())
			require.NoError(t, err)
			require.Len(t, view, 1, "its holders are still answered")

			b.mustExec("UPDATE failed_events SET status = 'pending'")
			event, err := b.TakeFailures(t.Context(), "token", 1, time.Minute)
			require.NoError(t, err)
			got := b.issued("shut", coupon.Delivery{Claim: event[0].Claim, FailedID: event[0].ID})
			require.Equal(t, coupon.OutcomeIssued, got[0].Outcome, "a promise outlives its campaign")
			_, err = b.BeginEpoch(t.Context(), "shut", coupon.ModeRedis)
			require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
		})
	}
}

func TestTakeOverOnlyOfWhatStandsStill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.opened("a", 10)
	loading := b.fenced("a", coupon.ModeRedis)
	ref := loading.Ref()
	unavailable := func(ref coupon.EpochRef, why string) {
		t.Helper()
		_, err := b.TakeOverEpoch(ctx, ref, coupon.ModeRedis)
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), why)
	}
	unavailable(ref, "it has just begun")
	b.age("a", time.Minute)
	unavailable(coupon.EpochRef{Campaign: "a", Epoch: 1}, "another epoch")
	require.NoError(t, b.TouchEpoch(ctx, ref))
	unavailable(ref, "it makes progress")
	b.age("a", time.Second)
	unavailable(ref, "not long enough")

	b.age("a", 9*time.Second)
	won := atOnce(t, 4, func() (coupon.Campaign, error) { return b.TakeOverEpoch(ctx, ref, coupon.ModeRedis) })
	require.Len(t, won, 1)
	next := won[0]
	require.EqualValues(t, 3, next.Epoch)
	require.Equal(t, loading.Lo, next.Lo, "the abandoned one gave out nothing")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(b.TouchEpoch(ctx, ref)), "taken over")
	_, err := b.ActivateEpoch(ctx, loading.Document())
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "the late one cannot open it")
	require.NoError(t, b.TouchEpoch(ctx, next.Ref()))
	b.activated(next)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(b.TouchEpoch(ctx, next.Ref())), "no longer loading")
	b.age("a", time.Minute)
	unavailable(next.Ref(), "it is open")
}

func TestTakeOverWhenTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("a", 10)
	loading := b.fenced("a", coupon.ModeRedis)
	b.age("a", -time.Hour)
	next, err := b.TakeOverEpoch(t.Context(), loading.Ref(), coupon.ModeSQL)
	require.NoError(t, err)
	require.Equal(t, coupon.EpochActive, next.EpochState)
	require.Equal(t, coupon.ModeSQL, next.Mode)
}

func TestTakeOverOfADraftAndOfAClosedCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{"draft", "shut"} {
		require.NoError(t, b.CreateCampaign(t.Context(), draft(id, 10)))
		_, err := b.BeginEpoch(t.Context(), id, coupon.ModeRedis)
		require.NoError(t, err)
		b.age(id, 10*time.Second)
	}
	_, err := b.SetStatus(t.Context(), "shut", coupon.CampaignClosed)
	require.NoError(t, err)
	opened, err := b.TakeOverEpoch(t.Context(), coupon.EpochRef{Campaign: "draft", Epoch: 1}, coupon.ModeRedis)
	require.NoError(t, err)
	require.Equal(t, coupon.CampaignDraft, opened.Status, "it becomes active when its epoch does")
	require.Equal(t, []int64{2, 1, 10}, []int64{opened.Epoch, opened.Lo, opened.Hi})
	retired, err := b.TakeOverEpoch(t.Context(), coupon.EpochRef{Campaign: "shut", Epoch: 1}, coupon.ModeRedis)
	require.NoError(t, err)
	require.Equal(t, coupon.EpochClosed, retired.EpochState)
}

func TestActivateEpochMakesTakenSerialsDueAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "clash"
	b.opened(id, 10)
	b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)))
	lost := claimOf(id, "b", 1, 1, 1)
	require.Equal(t, coupon.OutcomeParked, b.issued(id, delivery(lost))[0].Outcome)
	b.keep(claimOf(id, "c", 1, 1, 2), coupon.FailureParked) // for another reason
	b.mustExec("UPDATE failed_events SET attempts = 12, next_attempt_at = '2030-01-01'")

	loading := b.fenced(id, coupon.ModeRedis)
	taken, err := b.TakeFailures(t.Context(), "early", 10, time.Minute)
	require.NoError(t, err)
	require.Empty(t, taken, "there is no room for it yet")
	b.activated(loading)

	taken, err = b.TakeFailures(t.Context(), "token", 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, taken, 1)
	require.Zero(t, taken[0].Attempts)
	require.Equal(t, lost.Key, taken[0].Claim.Key)
	results := b.issued(id, coupon.Delivery{Claim: taken[0].Claim, FailedID: taken[0].ID})
	require.Equal(t, coupon.OutcomeIssued, results[0].Outcome)
	owned, _, err := b.Coupon(t.Context(), lost.Key)
	require.NoError(t, err)
	require.EqualValues(t, 11, owned.Serial, "a spare one below lo")
	b.activated(b.campaign(id))
	require.Equal(t, 1, scan[int](b, "SELECT COUNT(*) FROM failed_events WHERE status = 'done'"), "a repeat revives nothing")
}

// What was accepted becomes a row while stock remains, also when the operator has closed the campaign meanwhile.
func TestTakenSerialsSurviveTheClosing(t *testing.T) {
	t.Parallel()
	for _, mode := range []coupon.Mode{coupon.ModeRedis, coupon.ModeSQL} { // of the epoch that is retired
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			const id = "closing"
			b.doubled(id, 10)
			if mode == coupon.ModeSQL {
				b.fenced(id, mode)
				b.mustExec("UPDATE campaigns SET starts_at = '2000-01-01'")
				b.direct(id, 2, wish(id, "s", 1))
				b.mustExec("UPDATE failed_events SET status = 'parked'") // by the retries, say
			}
			_, err := b.SetStatus(t.Context(), id, coupon.CampaignClosed)
			require.NoError(t, err)
			retired := b.fenced(id, coupon.ModeRedis)
			require.Equal(t, coupon.EpochClosed, retired.EpochState)

			results := b.retried(id)
			require.Equal(t, []coupon.Outcome{coupon.OutcomeIssued, coupon.OutcomeIssued}, outcomes(results))
			last := scan[int64](b, "SELECT MAX(hi_max) FROM campaign_epochs")
			require.Equal(t, last+2, scan[int64](b, "SELECT MAX(serial) FROM coupons"), "the serials above all epochs'")
			a := b.account(id)
			require.Equal(t, []int64{a.Campaign.Issued, 0, 0}, []int64{a.Rows, a.Misplaced, a.Kept})
			b.mustExec("UPDATE coupons SET epoch = 3 WHERE serial = ?", last+1)
			require.EqualValues(t, 1, b.account(id).Misplaced)
		})
	}
}

// retried issues all failed events that are due.
func (b *bundle) retried(id string) []coupon.Result {
	b.tb.Helper()
	events, err := b.TakeFailures(b.tb.Context(), "retry", 10, time.Minute)
	require.NoError(b.tb, err)
	deliveries := make([]coupon.Delivery, len(events))
	for i, e := range events {
		deliveries[i] = coupon.Delivery{Claim: e.Claim, Payload: e.Payload, FailedID: e.ID}
	}
	return b.issued(id, deliveries...)
}

// Not what an event failed of first decides whether the next epoch has a serial for it, but what it failed of last. Nor
// does it matter where its last retry stands just then.
func TestTakenSerialsAreRevivedByTheirNewestReason(t *testing.T) {
	t.Parallel()
	const id = "newest"
	for name, parkedBefore := range map[string]bool{"parked before": true, "parked afterwards": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.opened(id, 10)
			b.issued(id, delivery(claimOf(id, "first", 1, 1, 1)))
			b.keep(claimOf(id, "second", 1, 1, 1), coupon.FailurePending)
			result := b.retried(id)[0]
			require.Equal(t, coupon.ReasonSerialTaken, result.Reason)
			event := scan[int64](b, "SELECT id FROM failed_events")
			park := func() {
				require.NoError(t, b.PostponeFailure(t.Context(), event, "retry", coupon.MaxAttempts, noon, true, result.Err))
			}
			if parkedBefore {
				park()
			}
			b.activated(b.fenced(id, coupon.ModeRedis))
			if !parkedBefore {
				park()
			}
			require.Equal(t, "pending", scan[string](b, "SELECT status FROM failed_events"))
			require.Zero(t, scan[int](b, "SELECT attempts FROM failed_events"))
			require.Equal(t, coupon.OutcomeIssued, b.retried(id)[0].Outcome)
		})
	}
}
