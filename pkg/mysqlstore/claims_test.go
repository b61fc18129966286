package mysqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func (b *bundle) account(id string) Account {
	b.tb.Helper()
	a, err := b.Account(b.tb.Context(), id)
	require.NoError(b.tb, err)
	return a
}

func TestAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "book"
	b.opened(id, 100)
	b.opened("other", 5)
	b.issued("other", delivery(claimOf("other", "x", 1, 1, 1)))
	b.keep(claimOf("other", "y", 1, 1, 2), coupon.FailurePending)
	b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)), delivery(claimOf(id, "b", 1, 1, 2)))
	b.keep(claimOf(id, "c", 1, 1, 3), coupon.FailurePending)
	b.keep(claimOf(id, "c", 1, 1, 4), coupon.FailureParked)
	b.keep(claimOf(id, "a", 1, 1, 5), coupon.FailurePending)
	b.keep(claimOf(id, "d", 1, 1, 6), coupon.FailureDead)

	a := b.account(id)

	require.Equal(t, b.campaign(id), a.Campaign)
	require.Equal(t, []int64{2, 1, 0, 0, 0, 0}, []int64{a.Rows, a.Kept, a.Carried, a.Returned, a.BadReturns, a.Misplaced})
	require.Equal(t, map[coupon.FailureStatus]int64{
		coupon.FailurePending: 2, coupon.FailureParked: 1, coupon.FailureDead: 1,
	}, a.Failed)
	require.Equal(t, []EpochRange{{1, 1, 100}}, a.Epochs)
	require.Less(t, a.EpochAge, time.Minute)

	b.activated(b.fenced(id, coupon.ModeRedis))
	b.keep(claimOf(id, "late", 1, 1, 7), coupon.FailurePending)
	b.keep(claimOf(id, "new", 1, 2, 103), coupon.FailurePending)

	a = b.account(id)
	require.Equal(t, []int64{2, 2, 1}, []int64{a.Rows, a.Kept, a.Carried}, "late was no promise")
	require.Equal(t, []EpochRange{{1, 1, 100}, {2, 102, 198}}, a.Epochs)

	_, err := b.Account(t.Context(), "nowhere")
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))
}

func TestAccountOfReturns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "back"
	b.opened(id, 10)
	b.mustExec("UPDATE campaigns SET restock_on_cancel = 1")
	b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)), delivery(claimOf(id, "b", 1, 1, 2)))
	_, _, err := b.Cancel(t.Context(), coupon.Key{Campaign: id, User: "a", N: 1}, "")
	require.NoError(t, err)

	a := b.account(id)
	require.Equal(t, []int64{2, 1, 1, 0}, []int64{a.Rows, a.Campaign.Issued, a.Returned, a.BadReturns})

	b.mustExec("UPDATE coupons SET status = 'active'")
	require.EqualValues(t, 1, b.account(id).BadReturns)
	b.mustExec("DELETE FROM coupons WHERE user_id = 'a'")
	require.EqualValues(t, 1, b.account(id).BadReturns)
}

func TestMisplacedRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "ranges"
	b.opened(id, 10)
	b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)), delivery(claimOf(id, "b", 1, 1, 2)))
	b.keep(claimOf(id, "carried", 1, 1, 1), coupon.FailurePending) // its serial is a's
	b.activated(b.fenced(id, coupon.ModeRedis))
	_, err := b.Issue(t.Context(), id, []coupon.Delivery{{
		Claim: claimOf(id, "carried", 1, 1, 1), FailedID: scan[int64](b, "SELECT id FROM failed_events"),
	}})
	require.NoError(t, err)
	require.EqualValues(t, 11, scan[int64](b, "SELECT serial FROM coupons WHERE user_id = 'carried'"), "it was renumbered")
	b.fenced(id, coupon.ModeSQL)
	b.mustExec("UPDATE campaigns SET starts_at = '2000-01-01'")
	settled, err := b.Direct(t.Context(), id, 3, []coupon.Claim{{Key: coupon.Key{Campaign: id, User: "s", N: 1}}})
	require.NoError(t, err)
	require.Equal(t, coupon.Granted, settled[0].Verdict)
	require.Zero(t, b.account(id).Misplaced)
	none, err := b.MisplacedClaims(t.Context(), id, 0, 10)
	require.NoError(t, err)
	require.Empty(t, none)

	given := scan[int64](b, "SELECT next_serial FROM campaigns")
	b.mustExec("UPDATE coupons SET serial = ? WHERE user_id = 's'", given) // will be given out again
	b.mustExec("UPDATE coupons SET epoch = 2 WHERE user_id = 'b'")
	b.mustExec("UPDATE coupons SET epoch = 9 WHERE user_id = 'a'")
	require.EqualValues(t, 3, b.account(id).Misplaced)
	var users []string
	for after := int64(0); ; {
		page, err := b.MisplacedClaims(t.Context(), id, after, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, claim := range page {
			users, after = append(users, claim.User), claim.Serial
		}
	}
	require.Equal(t, []string{"a", "b", "s"}, users)
}

// The account must be of one instant: while places move from one column to another, their sum stands.
func TestAccountIsOfOneInstant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "busy"
	const limit = 300
	require.NoError(t, b.CreateCampaign(t.Context(), draft(id, limit)))
	b.mustExec("UPDATE campaigns SET starts_at = '2000-01-01'")
	_, err := b.BeginEpoch(t.Context(), id, coupon.ModeSQL)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		for i := range limit / 2 {
			wish := coupon.Claim{Key: coupon.Key{Campaign: id, User: fmt.Sprint("u", i), N: 1}}
			if _, err := b.Direct(t.Context(), id, 1, []coupon.Claim{wish}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for running := true; running; {
		select {
		case err := <-done:
			require.NoError(t, err)
			running = false
		default:
		}
		a := b.account(id)
		c := a.Campaign
		require.Equal(t, a.Rows, c.Issued)
		require.EqualValues(t, limit, c.Issued+c.Hi-c.NextSerial+1)
	}
	require.EqualValues(t, limit/2, b.account(id).Rows)
}

func TestKeptClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "kept"
	b.opened(id, 10)
	b.keep(claimOf(id, "a", 1, 1, 1), coupon.FailurePending)
	b.keep(claimOf(id, "b", 2, 1, 2), coupon.FailureLeased)
	b.keep(claimOf(id, "done", 1, 1, 3), coupon.FailureDone)
	b.activated(b.fenced(id, coupon.ModeRedis))
	b.keep(claimOf(id, "late", 1, 1, 4), coupon.FailurePending)
	b.keep(claimOf(id, "c", 1, 2, 13), coupon.FailureParked)

	var got []coupon.Claim
	for after := int64(0); ; {
		page, last, err := b.KeptClaims(t.Context(), id, after, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		got, after = append(got, page...), last
	}
	require.Equal(t, []coupon.Claim{
		claimOf(id, "a", 1, 1, 1), claimOf(id, "b", 2, 1, 2), claimOf(id, "c", 1, 2, 13),
	}, got)
}

func TestFates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "fate"
	b.opened(id, 10)
	for i, status := range []coupon.FailureStatus{coupon.FailureDone, coupon.FailurePending, coupon.FailureDead} {
		b.keep(claimOf(id, "a", 1, 1, int64(i+1)), status)
		if status != coupon.FailurePending {
			b.keep(claimOf(id, "b", 1, 1, int64(i+1)), status)
		}
	}
	b.keep(claimOf(id, "b", 2, 1, 9), coupon.FailureDiscarded)
	key := func(user string, n int) coupon.Key { return coupon.Key{Campaign: id, User: user, N: n} }

	fates, err := b.Fates(t.Context(), id, []coupon.Key{key("a", 1), key("b", 1), key("b", 2), key("c", 1), key("no user", 1)})
	require.NoError(t, err)
	require.Equal(t, map[coupon.Key]coupon.FailureStatus{
		key("a", 1): coupon.FailurePending, key("b", 1): coupon.FailureDead, key("b", 2): coupon.FailureDiscarded,
	}, fates)
	fates, err = b.Fates(t.Context(), id, nil)
	require.NoError(t, err)
	require.Empty(t, fates)
}
