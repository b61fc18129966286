package mysqlstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
)

// sells opens a campaign in mode sql, with a window around the database's own time.
func (b *bundle) sells(id string, limit int64) coupon.Campaign {
	b.tb.Helper()
	c := draft(id, limit)
	now := scan[time.Time](b, "SELECT UTC_TIMESTAMP(6)")
	c.StartsAt, c.EndsAt = now.Add(-time.Hour), now.Add(time.Hour)
	require.NoError(b.tb, b.CreateCampaign(b.tb.Context(), c))
	c, err := b.BeginEpoch(b.tb.Context(), id, coupon.ModeSQL)
	require.NoError(b.tb, err)
	require.Equal(b.tb, coupon.EpochActive, c.EpochState)
	return c
}

func wish(campaign, user string, n int) coupon.Claim {
	return coupon.Claim{Key: coupon.Key{Campaign: campaign, User: user, N: n}}
}

func (b *bundle) direct(campaign string, epoch int64, claims ...coupon.Claim) []coupon.Settled {
	b.tb.Helper()
	settled, err := b.Direct(b.tb.Context(), campaign, epoch, claims)
	require.NoError(b.tb, err)
	require.Len(b.tb, settled, len(claims))
	return settled
}

func verdicts(settled []coupon.Settled) []coupon.Verdict {
	list := make([]coupon.Verdict, len(settled))
	for i, s := range settled {
		list[i] = s.Verdict
	}
	return list
}

// requireRow checks that a settled claim carries its row exactly as the database has it.
func (b *bundle) requireRow(s coupon.Settled) {
	b.tb.Helper()
	require.NotNil(b.tb, s.Coupon)
	require.Equal(b.tb, coupon.StatusIssued, s.Status)
	row, found, err := b.Coupon(b.tb.Context(), s.Coupon.Key)
	require.NoError(b.tb, err)
	require.True(b.tb, found)
	require.Equal(b.tb, row, *s.Coupon)
}

func (b *bundle) requireConserved(id string) {
	b.tb.Helper()
	totals := b.totals(id)
	c, err := b.Campaign(b.tb.Context(), id)
	require.NoError(b.tb, err)
	require.Equal(b.tb, totals.Limit, totals.Issued+totals.Live()+c.Hi-c.NextSerial+1)
}

func TestDirectWishes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "wishes"
	c := b.sells(id, 4)
	b.mustExec(`UPDATE campaigns SET validity = '{"days":30}'`)

	got := b.direct(id, c.Epoch, wish(id, "c", 1), wish(id, "a", 1), wish(id, "c", 1), wish(id, "a", 3), wish(id, "a", 2))
	require.Equal(t, []coupon.Verdict{
		coupon.Granted, coupon.Granted, coupon.Held, coupon.RefusedPerUserLimit, coupon.Granted,
	}, verdicts(got))
	for i, serial := range map[int]int64{0: 1, 1: 2, 2: 1, 4: 3} {
		b.requireRow(got[i])
		require.Equal(t, serial, got[i].Coupon.Serial, "in the order given")
		require.Equal(t, got[i].Coupon.IssuedAt.AddDate(0, 0, 30), *got[i].Coupon.ExpiresAt)
		require.True(t, coupon.ValidCode(got[i].Coupon.Code))
	}

	got = b.direct(id, c.Epoch, wish(id, "d", 1), wish(id, "e", 1), wish(id, "c", 1), wish(id, "d", 1), wish(id, "e", 1))
	require.Equal(t, []coupon.Verdict{
		coupon.Granted, coupon.RefusedSoldOut, coupon.Held, coupon.Held, coupon.RefusedSoldOut,
	}, verdicts(got))
	require.EqualValues(t, 4, got[0].Coupon.Serial)
	require.EqualValues(t, 1, got[2].Coupon.Serial)
	require.EqualValues(t, 4, got[3].Coupon.Serial)
	require.EqualValues(t, 4, b.totals(id).Issued)
	b.requireConserved(id)
}

// Who holds a claim is answered with it whatever the campaign's state is; nobody else is.
func TestDirectRefusals(t *testing.T) {
	t.Parallel()
	const id = "refusals"
	cases := map[string]struct {
		change string
		want   coupon.Verdict
	}{
		"closed":            {"status = 'closed'", coupon.RefusedEnded},
		"closed and paused": {"status = 'paused', ends_at = UTC_TIMESTAMP(6)", coupon.RefusedEnded},
		"paused":            {"status = 'paused'", coupon.RefusedPaused},
		"not started":       {"starts_at = UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE", coupon.RefusedNotStarted},
		"sold out":          {"hi_wanted = 1", coupon.RefusedSoldOut},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			epoch := b.sells(id, 5).Epoch
			b.direct(id, epoch, wish(id, "a", 1))
			late := coupon.FailedEvent{Claim: claimOf(id, "late", 1, epoch, 9)}
			lost := coupon.FailedEvent{Claim: claimOf(id, "lost", 1, epoch, 8), Status: coupon.FailureParked}
			require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{late, lost}))
			b.mustExec("UPDATE campaigns SET " + c.change)

			got := b.direct(id, epoch, wish(id, "b", 1), wish(id, "a", 1), wish(id, "late", 1), wish(id, "lost", 1), wish(id, "lost", 2))
			require.Equal(t, []coupon.Verdict{c.want, coupon.Held, coupon.Held, coupon.Held, c.want}, verdicts(got))
			b.requireRow(got[1])
			require.Equal(t, coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusPending}, got[2])
			require.Equal(t, coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusFailed}, got[3])
			require.EqualValues(t, 1, b.totals(id).Rows)
		})
	}
}

// A wish is granted only in the epoch its server knows, open, in mode sql: also a late transaction on the way back to Redis.
func TestDirectWishesOfAnotherEpoch(t *testing.T) {
	t.Parallel()
	const id = "elsewhere"
	cases := map[string]struct {
		change string
		epoch  int64
	}{
		"an earlier epoch": {"epoch = 1", 0},
		"a later epoch":    {"epoch = 1", 2},
		"fencing":          {"epoch_state = 'fencing'", 1},
		"loading":          {"epoch_state = 'loading', mode = 'redis'", 1},
		"mode redis":       {"mode = 'redis'", 1},
		"retired":          {"epoch_state = 'closed', status = 'closed'", 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.direct(id, b.sells(id, 5).Epoch, wish(id, "a", 1))
			b.mustExec("UPDATE campaigns SET " + c.change)
			got := b.direct(id, c.epoch, wish(id, "a", 1), wish(id, "b", 1))
			require.Equal(t, []coupon.Settled{{Verdict: coupon.WrongEpoch}, {Verdict: coupon.WrongEpoch}}, got)
			require.EqualValues(t, 1, b.totals(id).Rows)
		})
	}
}

// The window is judged by the time after the row was locked, not by when the call began.
func TestDirectWaitsPastTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	epoch := b.sells("slow", 5).Epoch
	b.mustExec("UPDATE campaigns SET ends_at = UTC_TIMESTAMP(6) + INTERVAL 1 SECOND")
	_, release := b.heldRow("slow")
	verdict := make(chan coupon.Verdict, 1)
	go func() {
		settled, err := b.Direct(context.Background(), "slow", epoch, []coupon.Claim{wish("slow", "a", 1)})
		if err == nil {
			verdict <- settled[0].Verdict
		}
		close(verdict)
	}()
	await(t, func() bool { return b.waiting() != 0 })
	require.EqualValues(t, 1, scan[int64](b, "SELECT ends_at > UTC_TIMESTAMP(6) FROM campaigns"), "it waits since before the end")
	await(t, func() bool { return scan[int64](b, "SELECT ends_at <= UTC_TIMESTAMP(6) FROM campaigns") == 1 })
	release()
	require.Equal(t, coupon.RefusedEnded, <-verdict)
}

// hi_wanted may be wrong; the places are counted. What the wall stops is no promise, and a fence makes hi right again.
func TestDirectWall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "wall"
	epoch := b.sells(id, 3).Epoch
	b.mustExec("UPDATE campaigns SET hi = 100, hi_wanted = 100, epoch_since = UTC_TIMESTAMP(6) - INTERVAL 3 SECOND")
	b.mustExec("UPDATE campaign_epochs SET hi_max = 100")
	got := b.direct(id, epoch, wish(id, "a", 1), wish(id, "b", 1), wish(id, "c", 1), wish(id, "d", 1), wish(id, "d", 1))
	require.Equal(t, []coupon.Verdict{coupon.Granted, coupon.Granted, coupon.Granted, coupon.Broken, coupon.Broken}, verdicts(got))
	require.Equal(t, coupon.Settled{Verdict: coupon.Broken}, got[3])
	require.Equal(t, []coupon.Verdict{coupon.Held, coupon.Broken}, verdicts(b.direct(id, epoch, wish(id, "b", 1), wish(id, "e", 1))))

	totals := b.totals(id)
	require.EqualValues(t, 3, totals.Issued)
	require.EqualValues(t, 3, totals.Rows)
	require.Empty(t, totals.Failed)
	require.EqualValues(t, 4, scan[int64](b, "SELECT next_serial FROM campaigns"))
	require.Equal(t, epoch, scan[int64](b, "SELECT fence_wanted FROM campaigns"))
}

// A serial that is a row already, or a row that the database refuses, would leave a gap: nothing of the batch is written.
func TestDirectLeavesNoGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "gap"
	epoch := b.sells(id, 5).Epoch
	b.mustExec("ALTER TABLE coupons ADD CONSTRAINT no_poison CHECK (user_id <> 'poison')")
	_, err := b.Direct(t.Context(), id, epoch, []coupon.Claim{wish(id, "a", 1), wish(id, "poison", 1), wish(id, "b", 1)})
	require.ErrorContains(t, err, "serial 2")
	require.Zero(t, b.totals(id).Rows)
	b.direct(id, epoch, wish(id, "a", 1), wish(id, "b", 1))
	b.requireConserved(id)
}

// A grant of Redis that the log did not take is judged as issue() judges it.
func TestDirectGrants(t *testing.T) {
	t.Parallel()
	const id = "grants"
	granted := coupon.Settled{Verdict: coupon.Granted, Status: coupon.StatusIssued}
	held := coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusIssued}
	stale := coupon.Settled{Verdict: coupon.WrongEpoch}
	pending := coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusPending}
	cases := map[string]struct {
		before string
		claim  coupon.Claim
		want   coupon.Settled
		kept   coupon.FailureReason // of the failed event it becomes
	}{
		"new":           {"", claimOf(id, "b", 1, 1, 2), granted, ""},
		"while fencing": {"epoch_state = 'fencing'", claimOf(id, "b", 1, 1, 2), granted, ""},
		"while paused":  {"status = 'paused'", claimOf(id, "b", 1, 1, 2), granted, ""},
		"a row":         {"", claimOf(id, "a", 1, 1, 1), held, ""},
		"a row, other serial": {
			"epoch_state = 'closed'", claimOf(id, "a", 1, 1, 3), held, "",
		},
		"due to batch":   {"", claimOf(id, "late", 1, 1, 4), pending, ""},
		"parked":         {"", claimOf(id, "lost", 1, 1, 5), coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusFailed}, ""},
		"closed":         {"epoch = 2, epoch_state = 'loading'", claimOf(id, "b", 1, 1, 2), stale, ""},
		"in mode sql":    {"mode = 'sql'", claimOf(id, "b", 1, 1, 2), stale, ""},
		"row in sql":     {"mode = 'sql'", claimOf(id, "a", 1, 1, 2), held, ""},
		"no place":       {"issued = limit_count", claimOf(id, "b", 1, 1, 2), pending, coupon.ReasonLimitReached},
		"taken serial":   {"", claimOf(id, "b", 1, 1, 1), pending, coupon.ReasonSerialTaken},
		"out of range":   {"", claimOf(id, "b", 1, 1, 99), pending, coupon.ReasonSerialRange},
		"above the n":    {"per_user_limit = 1", claimOf(id, "b", 2, 1, 2), pending, coupon.ReasonPerUserLimit},
		"as a wish too?": {"", wish(id, "b", 1), stale, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.opened(id, 9)
			b.direct(id, 1, claimOf(id, "a", 1, 1, 1))
			late := coupon.FailedEvent{Claim: claimOf(id, "late", 1, 1, 4)}
			lost := coupon.FailedEvent{Claim: claimOf(id, "lost", 1, 1, 5), Status: coupon.FailureParked}
			require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{late, lost}))
			if c.before != "" {
				b.mustExec("UPDATE campaigns SET " + c.before)
			}
			got := b.direct(id, 1, c.claim, c.claim)
			if got[0].Coupon != nil {
				b.requireRow(got[0])
				require.Equal(t, got[0].Coupon, got[1].Coupon)
				require.Equal(t, coupon.Held, got[1].Verdict)
				got[0].Coupon = nil
			} else {
				require.Equal(t, got[0], got[1])
			}
			require.Equal(t, c.want, got[0])
			kept := scan[int64](b, "SELECT COUNT(*) FROM failed_events WHERE reason <> ''")
			if c.kept == "" {
				require.Zero(t, kept)
				return
			}
			require.EqualValues(t, 1, kept)
			require.Equal(t, string(c.kept), scan[string](b, "SELECT reason FROM failed_events WHERE reason <> ''"))
			claim, err := event.Decode(scan[[]byte](b, "SELECT payload FROM failed_events WHERE reason <> ''"))
			require.NoError(t, err)
			require.Equal(t, c.claim, claim)
		})
	}
}

// The log brings a claim that was issued directly, and the direct path one that the log brought: one row, one answer.
func TestDirectAndTheLogAgree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "both"
	b.opened(id, 10)
	one, two, taken := claimOf(id, "a", 1, 1, 1), claimOf(id, "b", 1, 1, 2), claimOf(id, "c", 1, 1, 1)
	require.Equal(t, []coupon.Verdict{coupon.Granted, coupon.Held}, verdicts(b.direct(id, 1, one, taken)))
	require.Equal(t, []coupon.Outcome{coupon.OutcomeDuplicate, coupon.OutcomeIssued, coupon.OutcomeParked},
		outcomes(b.issued(id, delivery(one), delivery(two), delivery(taken))))
	got := b.direct(id, 1, two, taken)
	require.Equal(t, []coupon.Verdict{coupon.Held, coupon.Held}, verdicts(got))
	b.requireRow(got[0])
	require.Equal(t, coupon.StatusFailed, got[1].Status)
	require.EqualValues(t, 2, b.totals(id).Issued)
	require.Equal(t, map[coupon.FailureStatus]int64{coupon.FailureParked: 1}, b.totals(id).Failed)
}

// Serials of mode sql are rows when they are given out: a record of the log that names one was not made by our programs,
// and must not take a place, whether that epoch is open or closed.
func TestIssueRefusesSerialsOfSQLEpochs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "forged"
	epoch := b.sells(id, 10).Epoch
	b.direct(id, epoch, wish(id, "a", 1))
	require.Equal(t, coupon.OutcomeDuplicate, b.issued(id, delivery(claimOf(id, "a", 1, epoch, 1)))[0].Outcome)
	for _, serial := range []int64{1, 2, 10} {
		result := b.issued(id, delivery(claimOf(id, "forger", 1, epoch, serial)))[0]
		require.Equal(t, coupon.OutcomeDead, result.Outcome)
		require.Equal(t, coupon.ReasonSerialRange, result.Reason)
	}
	b.fence(id)
	b.reopened(id)
	require.Equal(t, coupon.ReasonSerialRange, b.issued(id, delivery(claimOf(id, "forger", 2, epoch, 1)))[0].Reason)
	require.EqualValues(t, 1, b.totals(id).Rows)
}

// A carried event becomes its row while the database gives out serials, and takes none of them.
func TestIssueCarriedEventInModeSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "carried"
	c := b.sells(id, 3)
	b.mustExec("UPDATE campaigns SET mode = 'redis'")
	b.mustExec("UPDATE campaign_epochs SET mode = 'redis'")
	kept := claimOf(id, "kept", 1, c.Epoch, 2)
	require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{{Claim: kept}}))
	b.mustExec("UPDATE campaigns SET epoch_state = 'fencing'")
	c, err := b.CloseEpoch(t.Context(), c.Ref(), coupon.ModeSQL)
	require.NoError(t, err)

	require.Equal(t, coupon.StatusPending, b.direct(id, c.Epoch, wish(id, "kept", 1))[0].Status)
	retry := delivery(kept)
	retry.FailedID = scan[int64](b, "SELECT id FROM failed_events")
	require.Equal(t, coupon.OutcomeIssued, b.issued(id, retry)[0].Outcome)
	got := b.direct(id, c.Epoch, wish(id, "kept", 1), wish(id, "a", 1), wish(id, "b", 1), wish(id, "c", 1))
	require.Equal(t, []coupon.Verdict{coupon.Held, coupon.Granted, coupon.Granted, coupon.RefusedSoldOut}, verdicts(got))
	require.EqualValues(t, 2, got[0].Coupon.Serial)
	require.Equal(t, c.Lo, got[1].Coupon.Serial)
	b.requireConserved(id)
}

// A COMMIT whose answer is lost: an error, and the same wishes again are held.
func TestDirectCommitAnswerLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "unknown"
	epoch := b.sells(id, 10).Epoch
	lossy, lose := b.lossy()
	wishes := []coupon.Claim{wish(id, "a", 1), wish(id, "b", 1)}
	lose.Store(true)
	_, err := lossy.Direct(t.Context(), id, epoch, wishes)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "%v", err)
	lose.Store(false)
	got, err := lossy.Direct(t.Context(), id, epoch, wishes)
	require.NoError(t, err)
	require.Equal(t, []coupon.Verdict{coupon.Held, coupon.Held}, verdicts(got))
	require.EqualValues(t, 2, got[1].Coupon.Serial)
	b.requireConserved(id)
}

func TestDirectRefusesWhatItCannotTake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	settled, err := b.Direct(t.Context(), "x", 1, nil)
	require.NoError(t, err)
	require.Empty(t, settled)
	_, err = b.Direct(t.Context(), "x", 1, []coupon.Claim{wish("x", "a", 1)})
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))
	for name, claims := range map[string][]coupon.Claim{
		"too many":         make([]coupon.Claim, MaxIssue+1),
		"another campaign": {wish("y", "a", 1)},
		"another epoch":    {claimOf("x", "a", 1, 2, 1)},
		"no user":          {wish("x", "a ", 1)},
		"no n":             {wish("x", "a", 0)},
	} {
		_, err = b.Direct(t.Context(), "x", 1, claims)
		require.ErrorContains(t, err, "issue directly", name)
	}
}

func BenchmarkDirectHeld(b *testing.B) {
	s := setup(b)
	epoch := s.sells("held", 1000).Epoch
	wishes := make([]coupon.Claim, 128)
	for i := range wishes {
		wishes[i] = wish("held", fmt.Sprintf("u%d", i), 1)
	}
	s.direct("held", epoch, wishes...)
	for b.Loop() {
		s.direct("held", epoch, wishes...)
	}
	b.ReportMetric(float64(b.N*len(wishes))/b.Elapsed().Seconds(), "held/s")
}
