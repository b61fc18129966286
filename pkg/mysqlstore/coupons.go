package mysqlstore

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const selectCoupons = `SELECT c.slug, p.serial, p.user_id, p.n, p.epoch, p.code, p.status, p.claimed_at, p.issued_at,
	p.expires_at FROM coupons p JOIN campaigns c ON c.id = p.campaign_id`

type issuedRow struct {
	Slug      string
	Serial    int64
	UserID    string
	N         int
	Epoch     int64
	Code      string
	Status    coupon.Status
	ClaimedAt time.Time
	IssuedAt  time.Time
	ExpiresAt *time.Time
}

func (r *issuedRow) coupon() coupon.Coupon {
	return coupon.Coupon{
		Claim: coupon.Claim{
			Key:   coupon.Key{Campaign: r.Slug, User: r.UserID, N: r.N},
			Epoch: r.Epoch, Serial: r.Serial, ClaimedAt: r.ClaimedAt,
		},
		Code: r.Code, Status: r.Status, IssuedAt: r.IssuedAt, ExpiresAt: r.ExpiresAt,
	}
}

// Coupon returns the coupon of a key, and false when there is none.
func (s *Store) Coupon(ctx context.Context, key coupon.Key) (coupon.Coupon, bool, error) {
	var row issuedRow
	found, err := s.read(ctx, "read coupon", &row, selectCoupons+" WHERE c.slug = ? AND p.user_id = ? AND p.n = ?",
		key.Campaign, key.User, key.N)
	return row.coupon(), found > 0, err
}

// Coupons returns a user's coupons of a campaign, by n.
func (s *Store) Coupons(ctx context.Context, campaign, user string) ([]coupon.Coupon, error) {
	var rows []issuedRow
	_, err := s.read(ctx, "read coupons", &rows, selectCoupons+" WHERE c.slug = ? AND p.user_id = ? ORDER BY p.n",
		campaign, user)
	if err != nil {
		return nil, err
	}
	coupons := make([]coupon.Coupon, len(rows))
	for i := range rows {
		coupons[i] = rows[i].coupon()
	}
	return coupons, nil
}
