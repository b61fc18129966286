package mysqlstore

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

// Cancel cancels a coupon and returns it, and its campaign as it then is. If the campaign takes cancelled coupons back, the
// place is free again: hi rises by one, and Redis may give it out once RaiseWanted has told it; in mode sql it is free at
// once. While failed events hold places above the limit it is theirs, and hi stays. The user has used that n either way. A repeat finds the coupon cancelled and changes nothing.
//
// CodeAlreadyRedeemed for one that is redeemed, CodeInvalidTransition for one that expired; without a row CodeClaimNotFinal
// when a failed event may still become one, else CodeClaimNotFound: what Redis knows of the claim is not asked here.
func (s *Store) Cancel(ctx context.Context, key coupon.Key, reason string) (coupon.Coupon, coupon.Campaign, error) {
	var cancelled coupon.Coupon
	campaign, err := s.change(ctx, "cancel coupon", key.Campaign, func(tx *gorm.DB, row *campaignRow) error {
		issued, err := lockCoupon(tx, key)
		if err != nil {
			return err
		}
		if err := s.cancel(tx, row, issued, reason); err != nil {
			return err
		}
		cancelled = issued.coupon()
		return nil
	})
	if err != nil {
		return coupon.Coupon{}, coupon.Campaign{}, err
	}
	return cancelled, campaign, nil
}

// lockCoupon reads the row of a key whose campaign is locked, and holds it.
func lockCoupon(tx *gorm.DB, key coupon.Key) (*issuedRow, error) {
	if !coupon.ValidUserID(key.User) {
		return nil, coupon.NewError(coupon.CodeClaimNotFound, "")
	}
	var row issuedRow
	result := tx.Raw(selectCoupons+" WHERE c.slug = ? AND p.user_id = ? AND p.n = ? FOR UPDATE",
		key.Campaign, key.User, key.N).Scan(&row)
	if result.Error != nil || result.RowsAffected > 0 {
		return &row, result.Error
	}
	live, err := liveFailures(tx, key.Campaign, []string{key.User})
	if err != nil {
		return nil, err
	}
	if _, ok := live[owner{User: key.User, N: key.N}]; ok {
		return nil, coupon.NewError(coupon.CodeClaimNotFinal, "the claim is not issued yet")
	}
	return nil, coupon.NewError(coupon.CodeClaimNotFound, "")
}

func (s *Store) cancel(tx *gorm.DB, row *campaignRow, issued *issuedRow, reason string) error {
	switch issued.Status {
	case coupon.CouponCancelled:
		return nil
	case coupon.CouponRedeemed:
		return coupon.NewError(coupon.CodeAlreadyRedeemed, "")
	case coupon.CouponExpired:
		return coupon.NewError(coupon.CodeInvalidTransition, "the coupon has expired")
	}
	issued.Status = coupon.CouponCancelled
	err := tx.Exec("UPDATE coupons SET status = 'cancelled' WHERE campaign_id = ? AND serial = ? AND status = 'active'",
		row.ID, issued.Serial).Error
	if err != nil {
		return err
	}
	if row.RestockOnCancel {
		err = s.takeBack(tx, row, fmt.Sprintf("coupon:%d", issued.Serial), reason, issued.UserID)
	}
	if err == nil {
		failpoint.Hit(failpoint.CancelSent)
	}
	return err
}

// takeBack frees one place. ref names what had it, and gives it back once: the ledger's key would refuse a second time.
func (s *Store) takeBack(tx *gorm.DB, row *campaignRow, ref, reason, actor string) error {
	if err := row.addStock(tx, 1); err != nil {
		return err
	}
	row.Issued--
	if err := s.enter(tx, row, ledgerEntry{coupon.AdjustmentReturn, 1, &ref, reason, actor}); err != nil {
		return err
	}
	return s.saveStock(tx, row)
}
