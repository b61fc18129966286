package mysqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestCountFailures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	none, err := b.CountFailures(t.Context())
	require.NoError(t, err)
	require.Equal(t, FailureCounts{ByStatus: map[coupon.FailureStatus]int64{
		coupon.FailurePending: 0, coupon.FailureLeased: 0, coupon.FailureParked: 0, coupon.FailureDead: 0,
	}}, none)

	b.opened("counts", 20)
	events := failures("counts", 14)
	for i, status := range []coupon.FailureStatus{
		coupon.FailureParked, coupon.FailureParked, coupon.FailureDead, coupon.FailureDead, coupon.FailureDead,
		coupon.FailureDone, coupon.FailureDiscarded, coupon.FailurePending,
	} {
		events[i].Status = status
		events[i].CreatedAt = noon.Add(time.Duration(i-8) * time.Hour) // what waits came after all others
	}
	require.NoError(t, b.Park(t.Context(), events[:8]))
	taken, err := b.TakeFailures(t.Context(), "token", 1, time.Hour)
	require.NoError(t, err)
	require.Len(t, taken, 1)
	b.clock.advance(time.Minute)
	require.NoError(t, b.Park(t.Context(), events[8:]))

	counts, err := b.CountFailures(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[coupon.FailureStatus]int64{
		coupon.FailurePending: 6, coupon.FailureLeased: 1, coupon.FailureParked: 2, coupon.FailureDead: 3,
	}, counts.ByStatus)
	require.Equal(t, noon.Add(-time.Hour), counts.Waiting)
}

func TestCountFailuresHasABound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const digits = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
	b.mustExec(fmt.Sprintf(`INSERT INTO failed_events (event_key, payload, reason, status, next_attempt_at, created_at, updated_at)
		SELECT UUID(), '', 'malformed', 'dead', ?, ?, ? FROM %[1]s a, %[1]s b, %[1]s c, %[1]s d, (SELECT 1 UNION SELECT 2) e`, digits),
		noon, noon, noon)
	counts, err := b.CountFailures(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, auditedEvents, counts.ByStatus[coupon.FailureDead])
}

func TestBrokenPromises(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "broken"
	b.opened(id, 9)
	b.issued(id, delivery(claimOf(id, "has", 1, 1, 1)))
	taken := claimOf(id, "taken", 1, 1, 1)
	require.Equal(t, []coupon.Outcome{coupon.OutcomeParked}, outcomes(b.issued(id, delivery(taken))))
	b.mustExec("UPDATE campaigns SET issued = 9")
	wall := claimOf(id, "wall", 1, 1, 2)
	require.Equal(t, []coupon.Outcome{coupon.OutcomeParked}, outcomes(b.issued(id, delivery(wall))))

	dead := func(position, user string, reason coupon.FailureReason) coupon.FailedEvent {
		return coupon.FailedEvent{
			EventKey: position, Claim: claimOf(id, user, 1, 1, 3), Reason: reason, Status: coupon.FailureDead,
		}
	}
	later := failures(id, 1) // it will be retried, and nothing was refused
	require.NoError(t, b.Park(t.Context(), append(later,
		dead("claims:0:1", "panics", coupon.ReasonPanic),
		dead("claims:0:2", "panics", coupon.ReasonPanic), // delivered again
		dead("claims:0:3", "refused", coupon.ReasonBadRow),
		dead("claims:0:4", "has", coupon.ReasonPanic), // it was a duplicate
		dead("claims:0:5", "poison", coupon.ReasonSerialRange),
		dead("claims:0:6", "no user", coupon.ReasonBadRow),
		coupon.FailedEvent{EventKey: "claims:0:7", Campaign: id, Reason: coupon.ReasonPanic, Status: coupon.FailureDead},
	)))
	broken, err := b.BrokenPromises(t.Context())
	require.NoError(t, err)
	var users []string
	for _, c := range broken {
		users = append(users, c.User)
		require.Equal(t, claimOf(id, c.User, 1, 1, c.Serial).EventKey(), c.EventKey())
	}
	require.ElementsMatch(t, []string{"taken", "wall", "panics", "refused"}, users)

	b.mustExec("UPDATE campaigns SET issued = 1")
	b.issued(id, delivery(wall))
	broken, err = b.BrokenPromises(t.Context())
	require.NoError(t, err)
	require.Len(t, broken, 3, "what was mended is broken no more")
}

func TestOversold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "oversold"
	b.opened(id, 2)
	b.mustExec("UPDATE campaigns SET restock_on_cancel = 1")
	oversold := func(campaign string) int64 {
		over, err := b.Oversold(t.Context(), campaign)
		require.NoError(t, err)
		return over
	}
	require.Zero(t, oversold("nowhere"))
	require.Zero(t, oversold(id))
	b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)), delivery(claimOf(id, "b", 1, 1, 2)))
	require.Zero(t, oversold(id))
	b.cancelled(id, "a")
	b.issued(id, delivery(claimOf(id, "c", 1, 1, 3)))
	require.EqualValues(t, 3, b.totals(id).Rows)
	require.Zero(t, oversold(id), "the place of the cancelled one was given back")

	b.mustExec(`INSERT INTO coupons (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at)
		SELECT id, 4, 'd', 1, 1, 'XXXX-XXXX-XXXX-XXXX', ?, ? FROM campaigns`, noon, noon)
	require.EqualValues(t, 1, oversold(id), "rows are counted, not what issue() believes")
}

func TestLastSuccesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	last, err := b.LastSuccesses(t.Context())
	require.NoError(t, err)
	require.Empty(t, last)
	run := func(job string, ends ...bool) {
		id, err := b.StartRun(t.Context(), job)
		require.NoError(t, err)
		b.clock.advance(time.Second)
		for _, ok := range ends {
			require.NoError(t, b.FinishRun(t.Context(), id, ok, []byte(`{}`)))
		}
	}
	run("sweep", true)
	run("sweep", true)
	run("sweep", false)
	run("sweep") // killed
	run("reconcile", false)
	last, err = b.LastSuccesses(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]time.Time{"sweep": noon.Add(2 * time.Second), "reconcile": {}}, last)

	b.mustExec("UPDATE batch_runs SET id = id + ? WHERE job = 'reconcile'", auditedRuns)
	last, err = b.LastSuccesses(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]time.Time{"reconcile": {}}, last, "runs of long ago are not read")
}

func TestLostClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost := func() int64 {
		n, err := b.LostClaims(t.Context())
		require.NoError(t, err)
		return n
	}
	ran := func(job, summary string) {
		id, err := b.StartRun(t.Context(), job)
		require.NoError(t, err)
		require.NoError(t, b.FinishRun(t.Context(), id, true, []byte(summary)))
	}
	require.Zero(t, lost())
	ran("reconcile", `{"result":{"campaigns":[{"campaign_id":"a"},
		{"campaign_id":"b","claims":{"total":9,"wrong":{"no_row":2,"row_gone":3,"event_gone":1,"row_unknown":3},"list":[]}},
		{"campaign_id":"c","claims":{"total":1,"wrong":{"no_row":1},"list":[]}}]}}`)
	require.EqualValues(t, 7, lost())
	ran("sweep", `{"result":{"campaigns":3}}`)
	_, err := b.StartRun(t.Context(), "reconcile") // not at its end
	require.NoError(t, err)
	require.EqualValues(t, 7, lost())
	ran("reconcile", `{"result":{"campaigns":[]},"error":"cut short"}`)
	require.Zero(t, lost())
}
