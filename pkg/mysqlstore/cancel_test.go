package mysqlstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func keyOf(id, user string) coupon.Key { return coupon.Key{Campaign: id, User: user, N: 1} }

func (b *bundle) cancelled(id, user string) (coupon.Coupon, coupon.Campaign) {
	b.tb.Helper()
	issued, campaign, err := b.Cancel(b.tb.Context(), keyOf(id, user), "changed my mind")
	require.NoError(b.tb, err)
	require.Equal(b.tb, coupon.CouponCancelled, issued.Status)
	stored, _, err := b.Coupon(b.tb.Context(), keyOf(id, user))
	require.NoError(b.tb, err)
	require.Equal(b.tb, stored, issued)
	return issued, campaign
}

// Cancelled without return, a coupon keeps its place; its user has used that n and is answered with it.
func TestCancelKeepsThePlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "keeps"
	epoch := b.sells(id, 1).Epoch
	b.direct(id, epoch, wish(id, "a", 1))
	for range 2 {
		_, campaign := b.cancelled(id, "a")
		require.EqualValues(t, 1, campaign.Issued)
		require.Equal(t, stockOf{1, 1, 1, 0}, numbers(campaign))
	}
	require.Empty(t, b.ledger(id))
	got := b.direct(id, epoch, wish(id, "a", 1), wish(id, "b", 1))
	require.Equal(t, []coupon.Verdict{coupon.Held, coupon.RefusedSoldOut}, verdicts(got))
	require.Equal(t, coupon.CouponCancelled, got[0].Coupon.Status)
}

func TestCancelReturnsThePlace(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		mode     coupon.Mode
		hiWanted int64
	}{
		"mode redis": {coupon.ModeRedis, 3},
		"mode sql":   {coupon.ModeSQL, 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			const id = "returns"
			b.sells(id, 3)
			b.mustExec("UPDATE campaigns SET restock_on_cancel = 1, mode = ?", c.mode)
			b.mustExec("UPDATE campaign_epochs SET mode = ?", c.mode)
			for i := range int64(3) {
				claim := wish(id, fmt.Sprint("u", i), 1)
				if c.mode == coupon.ModeRedis {
					claim = claimOf(id, claim.User, 1, 1, i+1)
				}
				require.Equal(t, coupon.Granted, b.direct(id, 1, claim)[0].Verdict)
			}
			for range 2 {
				_, campaign := b.cancelled(id, "u1")
				require.EqualValues(t, 2, campaign.Issued)
				require.Equal(t, stockOf{3, 4, c.hiWanted, 0}, numbers(campaign))
				require.EqualValues(t, 4, b.hiMax(id))
			}
			ledger := b.ledger(id)
			require.Equal(t, []coupon.Adjustment{{
				ID: ledger[0].ID, Kind: coupon.AdjustmentReturn, Delta: 1, Ref: "coupon:2", Reason: "changed my mind", Actor: "u1",
				CreatedAt: noon,
			}}, ledger)
			claim := wish(id, "next", 1)
			if c.mode == coupon.ModeRedis {
				claim = claimOf(id, "next", 1, 1, 4)
			}
			require.Equal(t, coupon.Granted, b.direct(id, 1, claim)[0].Verdict, "the place is another user's, the serial is new")
		})
	}
}

func TestCancelRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "refused"
	epoch := b.sells(id, 5).Epoch
	b.mustExec("UPDATE campaigns SET restock_on_cancel = 1")
	b.direct(id, epoch, wish(id, "redeemed", 1), wish(id, "expired", 1))
	b.mustExec("UPDATE coupons SET status = user_id")
	require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{
		{Claim: claimOf(id, "pending", 1, 1, 3)},
		{Claim: claimOf(id, "parked", 1, 1, 4), Status: coupon.FailureParked},
		{Claim: claimOf(id, "discarded", 1, 1, 5), Status: coupon.FailureDiscarded},
	}))
	for user, want := range map[string]coupon.Code{
		"redeemed":  coupon.CodeAlreadyRedeemed,
		"expired":   coupon.CodeInvalidTransition,
		"pending":   coupon.CodeClaimNotFinal,
		"parked":    coupon.CodeClaimNotFinal,
		"discarded": coupon.CodeClaimNotFound,
		"nobody":    coupon.CodeClaimNotFound,
		"no/user":   coupon.CodeClaimNotFound,
	} {
		_, _, err := b.Cancel(t.Context(), keyOf(id, user), "")
		require.Equal(t, want, coupon.CodeOf(err), user)
	}
	_, _, err := b.Cancel(t.Context(), keyOf("nowhere", "a"), "")
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))
	require.EqualValues(t, 2, b.totals(id).Issued)
	require.Empty(t, b.ledger(id))
}

// Eight cancels of each coupon at once give its place back once.
func TestCancelStorm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id, coupons = "storm", 20
	epoch := b.sells(id, coupons).Epoch
	b.mustExec("UPDATE campaigns SET restock_on_cancel = 1")
	for i := range coupons {
		b.direct(id, epoch, wish(id, fmt.Sprint("u", i), 1))
	}
	var group errgroup.Group
	for worker := range 8 {
		group.Go(func() error {
			var errs []error
			for i := range coupons / 2 {
				_, _, err := b.Cancel(t.Context(), keyOf(id, fmt.Sprint("u", (i+worker)%(coupons/2))), "")
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		})
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, coupons/2, b.totals(id).Issued)
	require.EqualValues(t, coupons/2, scan[int64](b, "SELECT COUNT(*) FROM coupons WHERE status = 'cancelled'"))
	require.Len(t, b.ledger(id), coupons/2)
	require.Equal(t, stockOf{coupons, coupons * 3 / 2, coupons * 3 / 2, 0}, b.stock(id))
}

// A COMMIT whose answer is lost: the repeat finds the coupon cancelled, and the place is back once.
func TestCancelCommitAnswerLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "unknown"
	epoch := b.sells(id, 2).Epoch
	b.mustExec("UPDATE campaigns SET restock_on_cancel = 1")
	b.direct(id, epoch, wish(id, "a", 1))
	lossy, lose := b.lossy()
	lose.Store(true)
	_, _, err := lossy.Cancel(t.Context(), keyOf(id, "a"), "")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "%v", err)
	_, campaign := b.cancelled(id, "a")
	require.Zero(t, campaign.Issued)
	require.Equal(t, stockOf{2, 3, 3, 0}, numbers(campaign))
	require.Len(t, b.ledger(id), 1)
}
