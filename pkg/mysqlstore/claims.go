package mysqlstore

import (
	"context"
	"database/sql"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Account is all that the record holds of a campaign, read at one instant.
type Account struct {
	Campaign coupon.Campaign
	EpochAge time.Duration // since the last step of the epoch, by the database's clock
	Rows     int64         // coupons of any status
	Failed   map[coupon.FailureStatus]int64

	// Kept is how many places are kept for failed events, one for each (user, n) that has a live one and no row; Carried is
	// how many of them come from closed epochs. An event that came after its epoch was closed was no promise: it keeps none.
	Kept, Carried int64

	Returned   int64 // places that cancelled coupons gave back: their rows are still there
	BadReturns int64 // of those, the ones whose coupon is not cancelled
	Misplaced  int64 // rows with a serial that their epoch could not give
	Epochs     []EpochRange
}

// EpochRange is the range of serials of an epoch that was open once.
type EpochRange struct{ Epoch, Lo, HiMax int64 }

// keeping says which failed events f of campaign c keep a place: those of its epoch and those that were carried over.
const keeping = " (f.carried = 1 OR f.epoch = c.epoch)"

// placed is the condition of rows whose serial is of their epoch. What a database handed out itself lies below next_serial.
// A carried event that was renumbered has one that was left to spare below a later epoch, or above all of a retired campaign.
// The ranges are constants of the
// query: joined, they would be looked up for each of a million rows.
func (a *Account) placed() (condition string, args []any) {
	c, highest := &a.Campaign, int64(0)
	condition = "FALSE"
	for _, r := range a.Epochs {
		if r.Lo > highest+1 {
			condition += " OR epoch < ? AND serial BETWEEN ? AND ?"
			args = append(args, r.Epoch, highest+1, r.Lo-1)
		}
		highest = max(highest, r.HiMax)
		last := r.HiMax
		if c.Mode == coupon.ModeSQL && r.Epoch == c.Epoch {
			last = c.NextSerial - 1
		}
		condition += " OR epoch = ? AND serial BETWEEN ? AND ?"
		args = append(args, r.Epoch, r.Lo, last)
	}
	if c.EpochState == coupon.EpochClosed {
		condition += " OR epoch <= ? AND serial > ?"
		args = append(args, c.Epoch, highest)
	}
	return "(" + condition + ")", args
}

// Account reads a campaign's account. CodeCampaignNotFound when there is no such campaign.
func (s *Store) Account(ctx context.Context, campaign string) (Account, error) {
	var a Account
	err := s.snapshot(ctx, "read account", func(tx *gorm.DB) error {
		id, err := readEpochs(tx, campaign, &a)
		if err != nil {
			return err
		}
		if err := countRows(tx, id, &a); err != nil {
			return err
		}
		if err := countAccount(tx, id, &a); err != nil {
			return err
		}
		return countStatuses(tx, id, &a)
	})
	if err != nil {
		return Account{}, err
	}
	return a, nil
}

// snapshot runs queries that all see the same instant.
func (s *Store) snapshot(ctx context.Context, doing string, f func(tx *gorm.DB) error) error {
	options := &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	return storeError(doing, s.db.WithContext(ctx).Transaction(f, options))
}

// readEpochs reads the campaign and its epochs, and returns its id.
func readEpochs(tx *gorm.DB, campaign string, a *Account) (int64, error) {
	if !coupon.ValidCampaignID(campaign) {
		return 0, coupon.NewError(coupon.CodeCampaignNotFound, campaign)
	}
	var row campaignRow
	result := tx.Raw(selectCampaigns+" WHERE c.slug = ?", campaign).Scan(&row)
	if result.Error != nil {
		return 0, result.Error
	}
	if result.RowsAffected == 0 {
		return 0, coupon.NewError(coupon.CodeCampaignNotFound, campaign)
	}
	var err error
	if a.Campaign, err = row.campaign(); err != nil {
		return 0, err
	}
	return row.ID, tx.Raw(`SELECT epoch, lo, hi_max FROM campaign_epochs WHERE campaign_id = ? AND opened_at IS NOT NULL
		ORDER BY epoch`, row.ID).Scan(&a.Epochs).Error
}

// countRows counts the rows, and those that are misplaced, in one pass.
func countRows(tx *gorm.DB, campaign int64, a *Account) error {
	condition, args := a.placed()
	var counts struct{ Coupons, Placed int64 }
	err := tx.Raw("SELECT COUNT(*) AS coupons, COUNT(CASE WHEN "+condition+` THEN 1 END) AS placed
		FROM coupons WHERE campaign_id = ?`, append(args, campaign)...).Scan(&counts).Error
	a.Rows, a.Misplaced = counts.Coupons, counts.Coupons-counts.Placed
	return err
}

// countAccount counts what lies around the rows. The ids that the ledger names are as Cancel writes them.
func countAccount(tx *gorm.DB, campaign int64, a *Account) error {
	var counts struct {
		Age                                 *int64
		Kept, Carried, Returned, BadReturns int64
	}
	err := tx.Raw(`SELECT TIMESTAMPDIFF(MICROSECOND, c.epoch_since, UTC_TIMESTAMP(6)) AS age,
		(`+countKept+keeping+` AND f.campaign_id = c.id) AS kept,
		(`+countKept+` f.carried = 1 AND f.campaign_id = c.id) AS carried,
		(SELECT COUNT(*) FROM stock_ledger l WHERE l.campaign_id = c.id AND l.kind = 'return' AND l.ref LIKE 'coupon:%') AS returned,
		(SELECT COUNT(*) FROM stock_ledger l LEFT JOIN coupons p ON p.campaign_id = l.campaign_id
			AND p.serial = CAST(SUBSTRING(l.ref, 8) AS UNSIGNED) WHERE l.campaign_id = c.id AND l.kind = 'return'
			AND l.ref LIKE 'coupon:%' AND COALESCE(p.status, '') <> 'cancelled') AS bad_returns
		FROM campaigns c WHERE c.id = ?`, campaign).Scan(&counts).Error
	a.EpochAge = time.Duration(value(counts.Age)) * time.Microsecond
	a.Kept, a.Carried, a.Returned, a.BadReturns = counts.Kept, counts.Carried, counts.Returned, counts.BadReturns
	return err
}

func countStatuses(tx *gorm.DB, campaign int64, a *Account) error {
	var rows []struct {
		Status coupon.FailureStatus
		Events int64
	}
	err := tx.Raw("SELECT status, COUNT(*) AS events FROM failed_events WHERE campaign_id = ? GROUP BY status",
		campaign).Scan(&rows).Error
	a.Failed = make(map[coupon.FailureStatus]int64, len(rows))
	for _, row := range rows {
		a.Failed[row.Status] = row.Events
	}
	return err
}

// KeptClaims returns up to limit claims whose failed events keep a place, in the order of the events' ids, from the first
// one after the id given, and the id of the last one. One (user, n) may come twice.
func (s *Store) KeptClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, int64, error) {
	claims, last, err := s.claims(ctx, "read kept claims", campaign, `SELECT f.id, f.user_id, f.n, f.epoch,
		COALESCE(f.serial, 0), COALESCE(f.claimed_at, f.created_at) FROM failed_events f JOIN campaigns c ON c.id = f.campaign_id
		WHERE c.slug = ? AND f.id > ? AND`+keeping+` AND f.status IN `+liveFailure+`
		AND f.user_id IS NOT NULL AND f.n IS NOT NULL AND NOT EXISTS (SELECT 1 FROM coupons o
		WHERE o.campaign_id = f.campaign_id AND o.user_id = f.user_id AND o.n = f.n) ORDER BY f.id LIMIT ?`, after, limit)
	return claims, max(after, last), err
}

// MisplacedClaims returns up to limit rows, by serial, whose serial their epoch could not give, from the first one after
// the serial given.
func (s *Store) MisplacedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, error) {
	var rows []issuedRow
	err := s.snapshot(ctx, "read misplaced claims", func(tx *gorm.DB) error {
		var a Account
		id, err := readEpochs(tx, campaign, &a)
		if err != nil {
			return err
		}
		condition, args := a.placed()
		args = append([]any{id, after}, append(args, limit)...)
		return tx.Raw(`SELECT user_id, n, epoch, serial, claimed_at FROM coupons
			WHERE campaign_id = ? AND serial > ? AND NOT `+condition+" ORDER BY serial LIMIT ?", args...).Scan(&rows).Error
	})
	claims := make([]coupon.Claim, len(rows))
	for i, row := range rows {
		row.Slug = campaign
		claims[i] = row.coupon().Claim
	}
	return claims, err
}

const selectFates = `SELECT f.user_id, f.n, f.status FROM campaigns c
	JOIN failed_events f FORCE INDEX (failed_events_claim) ON f.campaign_id = c.id
	WHERE c.slug = ? AND f.n IS NOT NULL AND f.user_id IN `

// Fates returns where the failed events of keys of one campaign stand, also those that ended. Of several of one (user, n) a
// live one counts before a discarded one, and that before a dead one. A key without an event is absent.
func (s *Store) Fates(ctx context.Context, campaign string, keys []coupon.Key) (map[coupon.Key]coupon.FailureStatus, error) {
	args := userArgs(campaign, usersOf(keys))
	fates := map[coupon.Key]coupon.FailureStatus{}
	if len(args) == 1 {
		return fates, nil
	}
	var rows []struct {
		UserID string
		N      int
		Status coupon.FailureStatus
	}
	if _, err := s.read(ctx, "read fates", &rows, selectFates+tuples(1, len(args)-1), args...); err != nil {
		return nil, err
	}
	for _, row := range rows {
		key := coupon.Key{Campaign: campaign, User: row.UserID, N: row.N}
		if weight[row.Status] > weight[fates[key]] {
			fates[key] = row.Status
		}
	}
	return fates, nil
}

// weight orders the statuses of failed events by how much they say of a claim.
var weight = map[coupon.FailureStatus]int{
	coupon.FailurePending: 6, coupon.FailureLeased: 5, coupon.FailureParked: 4,
	coupon.FailureDiscarded: 3, coupon.FailureDead: 2, coupon.FailureDone: 1,
}
