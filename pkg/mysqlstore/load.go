package mysqlstore

import (
	"context"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// CarriedClaims returns up to limit claims whose events are carried over from closed epochs and keep a place, in the order
// of the events' ids, from the first one after the id given, and the id of the last one. One (user, n) may come twice.
// Those that have become rows by now are absent: IssuedClaims, read afterwards, has them.
func (s *Store) CarriedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, int64, error) {
	claims, last, err := s.claims(ctx, "read carried claims", campaign, `SELECT f.id, f.user_id, f.n, f.epoch, f.serial,
		COALESCE(f.claimed_at, f.created_at) FROM failed_events f JOIN campaigns c ON c.id = f.campaign_id
		WHERE c.slug = ? AND f.id > ? AND f.carried = 1 AND f.status IN `+liveFailure+`
		AND f.user_id IS NOT NULL AND f.n IS NOT NULL AND f.serial IS NOT NULL AND NOT EXISTS (SELECT 1 FROM coupons o
		WHERE o.campaign_id = f.campaign_id AND o.user_id = f.user_id AND o.n = f.n) ORDER BY f.id LIMIT ?`, after, limit)
	if err != nil {
		return nil, after, err
	}
	return claims, max(after, last), nil
}

// IssuedClaims returns up to limit claims that are rows, of any status, by serial, from the first one after the serial
// given. The rows of a page are as they were at one instant; those of the next may be newer.
func (s *Store) IssuedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, error) {
	claims, _, err := s.claims(ctx, "read issued claims", campaign, `SELECT p.serial, p.user_id, p.n, p.epoch, p.serial,
		p.claimed_at FROM coupons p JOIN campaigns c ON c.id = p.campaign_id
		WHERE c.slug = ? AND p.serial > ? ORDER BY p.serial LIMIT ?`, after, limit)
	return claims, err
}

// claims runs a query of id, user, n, epoch, serial and time, and returns the last id too. It scans by hand: a million
// rows are read while nobody is served.
func (s *Store) claims(
	ctx context.Context, doing, campaign, query string, after int64, limit int,
) ([]coupon.Claim, int64, error) {
	rows, err := s.pool.QueryContext(ctx, query, campaign, after, limit)
	if err != nil {
		return nil, 0, storeError(doing, err)
	}
	defer func() { _ = rows.Close() }()
	var claims []coupon.Claim
	var last int64
	for rows.Next() {
		claim := coupon.Claim{Key: coupon.Key{Campaign: campaign}}
		if err := rows.Scan(&last, &claim.User, &claim.N, &claim.Epoch, &claim.Serial, &claim.ClaimedAt); err != nil {
			return nil, 0, storeError(doing, err)
		}
		claims = append(claims, claim)
	}
	return claims, last, storeError(doing, rows.Err())
}
