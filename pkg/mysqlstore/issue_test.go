package mysqlstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// One case for each row of the table in design.md, section 5, against a campaign of three places (serials 1 to 3) of
// which user "a" has serial 1.
func TestIssueOutcomes(t *testing.T) {
	t.Parallel()
	const id = "winter"
	claim := func(user string, n int, epoch, serial int64) coupon.Claim { return claimOf(id, user, n, epoch, serial) }
	cases := map[string]struct {
		claims []coupon.Claim
		want   []coupon.Outcome
		reason coupon.FailureReason // of the last result
		rows   int64
		failed map[coupon.FailureStatus]int64
	}{
		"new": {
			claims: []coupon.Claim{claim("b", 1, 1, 2)}, want: []coupon.Outcome{coupon.OutcomeIssued}, rows: 2,
		},
		"second n of a user": {
			claims: []coupon.Claim{claim("a", 2, 1, 2)}, want: []coupon.Outcome{coupon.OutcomeIssued}, rows: 2,
		},
		"same serial again": {
			claims: []coupon.Claim{claim("a", 1, 1, 1)}, want: []coupon.Outcome{coupon.OutcomeDuplicate}, rows: 1,
		},
		"served under another serial": {
			claims: []coupon.Claim{claim("a", 1, 1, 3)}, want: []coupon.Outcome{coupon.OutcomeVoid}, rows: 1,
		},
		"twins in the batch": {
			claims: []coupon.Claim{claim("b", 1, 1, 3), claim("b", 1, 1, 2), claim("b", 1, 1, 2)},
			want:   []coupon.Outcome{coupon.OutcomeVoid, coupon.OutcomeIssued, coupon.OutcomeDuplicate}, rows: 2,
		},
		"serial of another user": {
			claims: []coupon.Claim{claim("c", 1, 1, 2), claim("b", 1, 1, 1)},
			want:   []coupon.Outcome{coupon.OutcomeIssued, coupon.OutcomeParked},
			reason: coupon.ReasonSerialTaken, rows: 2, failed: map[coupon.FailureStatus]int64{coupon.FailureParked: 1},
		},
		"serial twice in the batch": {
			claims: []coupon.Claim{claim("b", 1, 1, 2), claim("c", 1, 1, 2)},
			want:   []coupon.Outcome{coupon.OutcomeIssued, coupon.OutcomeParked},
			reason: coupon.ReasonSerialTaken, rows: 2, failed: map[coupon.FailureStatus]int64{coupon.FailureParked: 1},
		},
		"serial outside the range": {
			claims: []coupon.Claim{claim("b", 1, 1, 4)}, want: []coupon.Outcome{coupon.OutcomeDead},
			reason: coupon.ReasonSerialRange, rows: 1, failed: map[coupon.FailureStatus]int64{coupon.FailureDead: 1},
		},
		"unknown epoch": {
			claims: []coupon.Claim{claim("b", 1, 9, 2)}, want: []coupon.Outcome{coupon.OutcomeDead},
			reason: coupon.ReasonSerialRange, rows: 1, failed: map[coupon.FailureStatus]int64{coupon.FailureDead: 1},
		},
		"n above the limit": {
			claims: []coupon.Claim{claim("b", 3, 1, 2)}, want: []coupon.Outcome{coupon.OutcomeDead},
			reason: coupon.ReasonPerUserLimit, rows: 1, failed: map[coupon.FailureStatus]int64{coupon.FailureDead: 1},
		},
		"user id that is none": {
			claims: []coupon.Claim{claim("a ", 1, 1, 2), claim("é/\xff", 1, 1, 3), claim(strings.Repeat("u", 129), 1, 1, 3)},
			want:   []coupon.Outcome{coupon.OutcomeDead, coupon.OutcomeDead, coupon.OutcomeDead},
			reason: coupon.ReasonBadRow, rows: 1, failed: map[coupon.FailureStatus]int64{coupon.FailureDead: 3},
		},
		"row the database refuses": {
			claims: []coupon.Claim{{Key: coupon.Key{Campaign: id, User: "b", N: 1}, Epoch: 1, Serial: 2}}, // no date
			want:   []coupon.Outcome{coupon.OutcomeDead},
			reason: coupon.ReasonBadRow, rows: 1, failed: map[coupon.FailureStatus]int64{coupon.FailureDead: 1},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.opened(id, 3)
			require.Equal(t, coupon.OutcomeIssued, b.issued(id, delivery(claim("a", 1, 1, 1)))[0].Outcome)

			deliveries := make([]coupon.Delivery, len(c.claims))
			for i := range c.claims {
				deliveries[i] = delivery(c.claims[i])
				deliveries[i].Position = fmt.Sprintf("claims:0:%d", i)
			}
			for range 2 { // what was kept before stays as it is
				results := b.issued(id, deliveries...)
				if c.failed != nil {
					require.Equal(t, c.reason, results[len(results)-1].Reason)
					require.NotEmpty(t, results[len(results)-1].Err)
				}
				if c.want != nil {
					require.Equal(t, c.want, outcomes(results))
				}
				c.want = nil
				totals := b.totals(id)
				require.Equal(t, c.rows, totals.Rows)
				require.Equal(t, c.rows, totals.Issued)
				require.Len(t, totals.Failed, len(c.failed))
				for status, n := range c.failed {
					require.Equal(t, n, totals.Failed[status], status)
				}
			}
		})
	}
}

func TestIssueWallHoldsAtTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("wall", 3)
	b.mustExec("UPDATE campaign_epochs SET hi_max = 100") // a Redis that gave out too much
	var deliveries []coupon.Delivery
	for _, serial := range []int64{5, 4, 3, 2, 1} {
		deliveries = append(deliveries, delivery(claimOf("wall", fmt.Sprintf("u%d", serial), 1, 1, serial)))
	}
	results := b.issued("wall", deliveries...)
	require.Equal(t, []coupon.Outcome{
		coupon.OutcomeParked, coupon.OutcomeParked, coupon.OutcomeIssued, coupon.OutcomeIssued, coupon.OutcomeIssued,
	}, outcomes(results), "the smaller serials get the room")
	require.Equal(t, coupon.ReasonLimitReached, results[0].Reason)

	status, found, err := b.Failure(t.Context(), deliveries[0].Claim.Key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, coupon.FailureParked, status)
	require.Equal(t, deliveries[0].Claim.EventKey(),
		scan[string](b, "SELECT event_key FROM failed_events WHERE user_id = 'u5'"))
	require.Equal(t, deliveries[0].Payload, scan[[]byte](b, "SELECT payload FROM failed_events WHERE user_id = 'u5'"))
	require.EqualValues(t, 3, b.totals("wall").Rows)
}

func TestIssueUnknownCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := delivery(claimOf("nowhere", "u", 1, 1, 1))
	results := b.issued("nowhere", d)
	require.Equal(t, coupon.OutcomeDead, results[0].Outcome)
	require.Equal(t, coupon.ReasonUnknownCampaign, results[0].Reason)
	require.EqualValues(t, 1, scan[int64](b,
		"SELECT COUNT(*) FROM failed_events WHERE campaign_id IS NULL AND status = 'dead' AND event_key = ?", d.Position))
}

func TestIssueRefusesWhatItCannotTake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Issue(t.Context(), "x", make([]coupon.Delivery, MaxIssue+1))
	require.ErrorContains(t, err, "at most")
	_, err = b.Issue(t.Context(), "x", []coupon.Delivery{delivery(claimOf("y", "u", 1, 1, 1))})
	require.ErrorContains(t, err, "campaign")
	results, err := b.Issue(t.Context(), "x", nil)
	require.NoError(t, err)
	require.Empty(t, results)
}

// A conflict asks for a fence, but not within 2 s of the opening, and only of the epoch that is open.
func TestIssueConflictAsksForFence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("clash", 5)
	b.issued("clash", delivery(claimOf("clash", "a", 1, 1, 1)))
	b.issued("clash", delivery(claimOf("clash", "b", 1, 1, 1)))
	wanted := func() int64 { return scan[int64](b, "SELECT fence_wanted FROM campaigns") }
	require.Zero(t, wanted())
	b.mustExec("UPDATE campaigns SET epoch_since = UTC_TIMESTAMP(6) - INTERVAL 3 SECOND")
	_, err := b.SetStatus(t.Context(), "clash", coupon.CampaignClosed)
	require.NoError(t, err)
	b.issued("clash", delivery(claimOf("clash", "c", 1, 1, 1)))
	require.EqualValues(t, 1, wanted(), "the log of a closed campaign may still hold claims")
}

func TestIssueClosedEpochs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "fenced"
	b.opened(id, 10)
	b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)))
	lost := claimOf(id, "b", 1, 1, 1)  // the serial of a
	kept := claimOf(id, "c", 1, 1, 5)  // its own serial is free
	stale := claimOf(id, "d", 1, 1, 6) // was never confirmed
	require.Equal(t, coupon.OutcomeParked, b.issued(id, delivery(lost))[0].Outcome)
	require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{{Claim: kept, Reason: coupon.ReasonTransientExhausted}}))

	b.fence(id)
	doc := b.reopened(id)
	require.EqualValues(t, 2, doc.Epoch)
	require.EqualValues(t, 10+2+1, doc.Lo, "two carried places are spared below lo")
	require.Equal(t, doc.Lo+7-1, doc.Hi, "ten places, one taken, two carried")

	require.Equal(t, coupon.OutcomeStale, b.issued(id, delivery(stale))[0].Outcome)
	require.Equal(t, coupon.OutcomeStale, b.issued(id, delivery(kept))[0].Outcome, "from the log it is no failed event")

	b.mustExec("UPDATE failed_events SET status = 'pending'")
	events, err := b.TakeFailures(t.Context(), "token", 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, events, 2)
	var retries []coupon.Delivery
	for _, e := range events {
		require.True(t, e.Carried)
		retries = append(retries, coupon.Delivery{Claim: e.Claim, Payload: e.Payload, FailedID: e.ID})
	}
	results := b.issued(id, retries...)
	require.Equal(t, []coupon.Outcome{coupon.OutcomeIssued, coupon.OutcomeIssued}, outcomes(results))
	require.Equal(t, []coupon.Outcome{coupon.OutcomeDuplicate, coupon.OutcomeDuplicate}, outcomes(b.issued(id, retries...)))

	owned, found, err := b.Coupon(t.Context(), lost.Key)
	require.NoError(t, err)
	require.True(t, found)
	require.EqualValues(t, 11, owned.Serial, "renumbered to the smallest spare serial")
	owned, _, err = b.Coupon(t.Context(), kept.Key)
	require.NoError(t, err)
	require.EqualValues(t, 5, owned.Serial)
	totals := b.totals(id)
	require.Equal(t, map[coupon.FailureStatus]int64{coupon.FailureDone: 2}, totals.Failed)
	require.EqualValues(t, 3, totals.Issued)
}

// What becomes of the failed event that is being retried, in the transaction of the retry itself.
func TestIssueSettlesRetriedEvents(t *testing.T) {
	t.Parallel()
	const id = "retry"
	cases := map[string]struct {
		claim  coupon.Claim
		status coupon.FailureStatus // when the retry has the row
		want   coupon.Outcome
		after  coupon.FailureStatus
	}{
		"issued":           {claimOf(id, "b", 1, 1, 2), coupon.FailureLeased, coupon.OutcomeIssued, coupon.FailureDone},
		"had a row":        {claimOf(id, "a", 1, 1, 1), coupon.FailureLeased, coupon.OutcomeDuplicate, coupon.FailureDone},
		"served otherwise": {claimOf(id, "a", 1, 1, 2), coupon.FailureLeased, coupon.OutcomeVoid, coupon.FailureDone},
		"still no place":   {claimOf(id, "b", 1, 1, 1), coupon.FailureLeased, coupon.OutcomeParked, coupon.FailureLeased},
		"poison":           {claimOf(id, "b", 1, 1, 9), coupon.FailureLeased, coupon.OutcomeDead, coupon.FailureDead},
		"discarded":        {claimOf(id, "b", 1, 1, 2), coupon.FailureDiscarded, coupon.OutcomeDuplicate, coupon.FailureDiscarded},
		"done":             {claimOf(id, "b", 1, 1, 2), coupon.FailureDone, coupon.OutcomeDuplicate, coupon.FailureDone},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.opened(id, 5)
			b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)))
			require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{{Claim: c.claim, Status: c.status}}))
			d := delivery(c.claim)
			d.FailedID = scan[int64](b, "SELECT id FROM failed_events")
			require.Equal(t, c.want, b.issued(id, d)[0].Outcome)
			require.Equal(t, string(c.after), scan[string](b, "SELECT status FROM failed_events"))
			require.EqualValues(t, 1, scan[int64](b, "SELECT COUNT(*) FROM failed_events"))
		})
	}
}

// One bad row of 500, and one taken serial beside it, cost exactly themselves.
func TestIssueIsolatesBadRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("bad", 498)
	b.mustExec("UPDATE campaign_epochs SET hi_max = 1000")
	b.mustExec("ALTER TABLE coupons ADD CONSTRAINT no_poison CHECK (user_id <> 'u250')")
	b.issued("bad", delivery(claimOf("bad", "first", 1, 1, 100)))
	deliveries := make([]coupon.Delivery, 500)
	for i := range deliveries {
		deliveries[i] = delivery(claimOf("bad", fmt.Sprintf("u%d", i), 1, 1, int64(i+1)))
	}
	results := b.issued("bad", deliveries...)
	require.Equal(t, coupon.OutcomeDead, results[250].Outcome)
	require.Equal(t, coupon.ReasonBadRow, results[250].Reason)
	require.Equal(t, coupon.ReasonSerialTaken, results[99].Reason)
	require.Equal(t, coupon.ReasonLimitReached, results[499].Reason, "the bad row's place went to the next, not to the last")
	totals := b.totals("bad")
	require.EqualValues(t, 498, totals.Rows)
	require.EqualValues(t, 498, totals.Issued)
	require.Equal(t, map[coupon.FailureStatus]int64{coupon.FailureDead: 1, coupon.FailureParked: 2}, totals.Failed)
}

func TestNewCodes(t *testing.T) {
	t.Parallel()
	codes, err := newCodes(strings.NewReader(strings.Repeat("0123456789abcdefg", 10)), 10)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, code := range codes {
		require.True(t, coupon.ValidCode(code), code)
		seen[code] = true
	}
	require.Len(t, seen, 10)
	_, err = newCodes(strings.NewReader("too short"), 1)
	require.Error(t, err)
}
