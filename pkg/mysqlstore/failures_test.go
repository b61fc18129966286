package mysqlstore

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func failures(id string, n int) []coupon.FailedEvent {
	events := make([]coupon.FailedEvent, n)
	for i := range events {
		claim := claimOf(id, fmt.Sprintf("u%d", i), 1, 1, int64(i+1))
		events[i] = coupon.FailedEvent{Claim: claim, Payload: []byte("{}"), Reason: coupon.ReasonTransientExhausted}
	}
	return events
}

func TestParkKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("park", 10)
	events := failures("park", 6)
	events[0].Error = "first"
	require.NoError(t, b.Park(t.Context(), events[:3]))
	events[0].Error = "second"
	events = append(events, events[5]) // twice in one call
	require.NoError(t, b.Park(t.Context(), events))
	require.EqualValues(t, 6, b.totals("park").Failed[coupon.FailurePending])
	require.Equal(t, "first", scan[string](b, "SELECT error FROM failed_events WHERE user_id = 'u0'"))
	require.NoError(t, b.Park(t.Context(), nil))

	status, found, err := b.Failure(t.Context(), events[1].Claim.Key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, coupon.FailurePending, status)
	_, found, err = b.Failure(t.Context(), coupon.Key{Campaign: "park", User: "u1", N: 2})
	require.NoError(t, err)
	require.False(t, found)
}

// A failed event is never refused by its own table, however little of it can be stored in columns.
func TestParkTakesPoison(t *testing.T) {
	t.Parallel()
	b := setup(t)
	poison := []coupon.FailedEvent{
		{EventKey: "claims:0:1", Reason: coupon.ReasonMalformed, Status: coupon.FailureDead, Payload: []byte("\x00\xff{"), Error: "\xff" + strings.Repeat("é", 600)},
		{EventKey: "claims:0:2", Reason: coupon.ReasonMalformed, Status: coupon.FailureDead},
		{EventKey: "claims:0:3", Campaign: "NOT A SLUG", Status: coupon.FailureDead, Reason: coupon.ReasonPanic, Claim: coupon.Claim{
			Key: coupon.Key{Campaign: "\xff", User: strings.Repeat("ü", 300), N: -1}, Epoch: -1, Serial: -1,
			ClaimedAt: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC),
		}},
	}
	require.NoError(t, b.Park(t.Context(), poison))
	require.EqualValues(t, 3, scan[int64](b, `SELECT COUNT(*) FROM failed_events WHERE status = 'dead' AND user_id IS NULL
		AND n IS NULL AND serial IS NULL AND claimed_at IS NULL AND campaign_id IS NULL`))
	require.Equal(t, poison[0].Payload, scan[[]byte](b, "SELECT payload FROM failed_events WHERE event_key = 'claims:0:1'"))
}

// Eight workers take everything, no event twice, and no worker sees a deadlock.
func TestTakeFailuresNeverTwice(t *testing.T) {
	t.Parallel()
	const total = 2000
	b := setup(t)
	b.opened("take", 10)
	require.NoError(t, b.Park(t.Context(), failures("take", total/2)))
	require.NoError(t, b.Park(t.Context(), failures("take", total)))

	var mu sync.Mutex
	taken := map[int64]int{}
	var group errgroup.Group
	for worker := range 8 {
		group.Go(func() error {
			for round := 0; ; round++ {
				token := fmt.Sprintf("w%d-%d", worker, round)
				events, err := b.TakeFailures(t.Context(), token, 50, time.Minute)
				if err != nil || len(events) == 0 {
					return err
				}
				mu.Lock()
				for _, e := range events {
					taken[e.ID]++
				}
				mu.Unlock()
				if err := b.PostponeFailure(t.Context(), events[0].ID, token, 1, noon.Add(time.Hour), false, "again"); err != nil {
					return err
				}
			}
		})
	}
	require.NoError(t, group.Wait())
	require.Len(t, taken, total)
	for id, times := range taken {
		require.Equal(t, 1, times, id)
	}
}

func TestTakeFailuresLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("lease", 10)
	require.NoError(t, b.Park(t.Context(), failures("lease", 3)))
	ids := func(token string) (list []int64) {
		t.Helper()
		events, err := b.TakeFailures(t.Context(), token, 2, time.Minute)
		require.NoError(t, err)
		for _, e := range events {
			require.Equal(t, coupon.FailureLeased, e.Status)
			require.Equal(t, "lease", e.Claim.Campaign)
			list = append(list, e.ID)
		}
		return list
	}
	first := ids("one")
	require.Len(t, first, 2)
	require.Len(t, ids("two"), 1)
	require.Empty(t, ids("three"))

	b.clock.advance(2 * time.Minute) // both workers died
	again := ids("four")
	require.Equal(t, first, again)
	require.NoError(t, b.PostponeFailure(t.Context(), first[0], "one", 9, noon, true, "late"))
	require.Equal(t, "leased", scan[string](b, "SELECT status FROM failed_events WHERE id = ?", first[0]), "its lease is gone")

	due := b.clock.now().Add(time.Hour)
	require.NoError(t, b.PostponeFailure(t.Context(), again[0], "four", 3, due, false, "not yet"))
	require.NoError(t, b.PostponeFailure(t.Context(), again[1], "four", 12, due, true, "out of attempts"))
	require.Len(t, ids("five"), 1, "the third event, whose lease ended too")
	totals := b.totals("lease")
	require.EqualValues(t, 1, totals.Failed[coupon.FailureParked])
	require.EqualValues(t, 1, totals.Failed[coupon.FailurePending])
	require.Equal(t, noon, totals.OldestPending)

	b.clock.advance(59 * time.Minute)
	require.Len(t, ids("six"), 1, "the third again, the postponed one not yet")
	b.clock.advance(time.Minute)
	events, err := b.TakeFailures(t.Context(), "seven", 5, time.Minute)
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Equal(t, again[0], events[0].ID)
	require.Equal(t, 3, events[0].Attempts)
}

// A redelivery can make the row of a claim whose failed event still waits: one place, not two.
func TestTotalsCountAPlaceOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("once", 10)
	events := failures("once", 6)
	events[3].Status, events[4].Status = coupon.FailureParked, coupon.FailureDead
	again := events[5]
	again.Claim.Serial = 9 // of the same user's same coupon
	require.NoError(t, b.Park(t.Context(), append(events, again)))
	require.EqualValues(t, 5, b.totals("once").Live(), "u0 to u3 and u5")
	require.Zero(t, b.totals("once").LastClaimedAt)

	b.issued("once", delivery(events[0].Claim), delivery(events[1].Claim))

	totals := b.totals("once")
	require.EqualValues(t, 2, totals.Rows)
	require.EqualValues(t, 2, totals.Issued)
	require.Equal(t, events[1].Claim.ClaimedAt.UTC(), totals.LastClaimedAt.UTC())
	require.EqualValues(t, 3, totals.Live(), "u2, u3 and u5")
	require.Equal(t, map[coupon.FailureStatus]int64{
		coupon.FailurePending: 5, coupon.FailureParked: 1, coupon.FailureDead: 1,
	}, totals.Failed, "the events themselves are all still there")
}
