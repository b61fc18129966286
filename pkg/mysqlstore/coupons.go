package mysqlstore

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// selectCoupons reads coupons p of campaign c. Whoever asks names users, and names the index too: where the statistics of a
// table are older than its last drop, a server left to itself may walk all of the campaign's rows.
const selectCoupons = `SELECT c.slug, p.serial, p.user_id, p.n, p.epoch, p.code, p.status, p.claimed_at, p.issued_at,
	p.expires_at FROM campaigns c JOIN coupons p FORCE INDEX (coupons_one_each) ON p.campaign_id = c.id`

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

// CouponsOf returns the coupons of those keys of one campaign that have one, in the order of the keys.
func (s *Store) CouponsOf(ctx context.Context, campaign string, keys []coupon.Key) ([]coupon.Coupon, error) {
	rows, err := couponsOfUsers(s.db.WithContext(ctx), campaign, usersOf(keys))
	if err != nil {
		return nil, storeError("read coupons of many", err)
	}
	coupons := make([]coupon.Coupon, 0, len(rows))
	for _, key := range keys {
		if row, ok := rows[owner{User: key.User, N: key.N}]; ok {
			coupons = append(coupons, row.coupon())
		}
	}
	return coupons, nil
}

func usersOf(keys []coupon.Key) []string {
	users := make([]string, len(keys))
	for i, key := range keys {
		users[i] = key.User
	}
	return users
}

// couponsOfUsers reads all rows of users: by user alone, which both servers turn into ranges of the unique key.
func couponsOfUsers(db *gorm.DB, campaign string, users []string) (map[owner]issuedRow, error) {
	found := map[owner]issuedRow{}
	args := userArgs(campaign, users)
	if len(args) == 1 {
		return found, nil
	}
	rows, err := db.Raw(selectCoupons+" WHERE c.slug = ? AND p.user_id IN "+tuples(1, len(args)-1), args...).Rows()
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r issuedRow
		err := rows.Scan(&r.Slug, &r.Serial, &r.UserID, &r.N, &r.Epoch, &r.Code, &r.Status, &r.ClaimedAt, &r.IssuedAt, &r.ExpiresAt)
		if err != nil {
			return nil, err
		}
		found[owner{User: r.UserID, N: r.N}] = r
	}
	return found, rows.Err()
}

// userArgs are the arguments of a query for users of a campaign. What can be no user's id is left out: nobody has anything
// under it, and bytes of another character set would cost the index.
func userArgs(campaign string, users []string) []any {
	args := make([]any, 1, len(users)+1)
	args[0] = campaign
	for _, user := range users {
		if coupon.ValidUserID(user) {
			args = append(args, user)
		}
	}
	return args
}
