package mysqlstore

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// loadingPatience is how long an opening may make no progress before another one takes over.
const loadingPatience = 10 * time.Second

// liveFailure are the statuses of failed events that keep their place in the stock.
const liveFailure = "('pending', 'leased', 'parked')"

// countKept counts the places that failed events f keep: one for each (user, n) that has a live event and no row. The
// campaign is to be named after it.
const countKept = `SELECT COUNT(DISTINCT f.user_id, f.n) FROM failed_events f WHERE f.status IN ` + liveFailure + `
	AND NOT EXISTS (SELECT 1 FROM coupons o WHERE o.campaign_id = f.campaign_id AND o.user_id = f.user_id AND o.n = f.n)
	AND`

// BeginEpoch starts to open a campaign (step F5 of the fence): it takes a new epoch number and the range of serials that
// is free for it, and leaves the epoch loading. Nothing is granted before ActivateEpoch; a process that dies between the
// two leaves an epoch nobody reads, and the next BeginEpoch takes over after 10 s under a new number.
//
// CodeUnavailable while another opening or a fence is at work, CodeInvalidTransition when the campaign is open or closed.
func (s *Store) BeginEpoch(ctx context.Context, id string) (coupon.Document, error) {
	var document coupon.Document
	err := s.transaction(ctx, "begin epoch", func(tx *gorm.DB) error {
		row, err := lockCampaign(tx, id)
		if err != nil {
			return err
		}
		if err := s.mayBegin(row); err != nil {
			return err
		}
		document, err = s.begin(tx, row)
		return err
	})
	return document, err
}

func (s *Store) mayBegin(row *campaignRow) error {
	if row.Status == coupon.CampaignClosed {
		return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is closed")
	}
	switch row.EpochState {
	case coupon.EpochNone:
		return nil
	case coupon.EpochLoading:
		if row.EpochSince != nil && s.now().Sub(*row.EpochSince) < loadingPatience {
			return coupon.Unavailable("another opening is loading the campaign", nil)
		}
		return nil
	case coupon.EpochFencing:
		return coupon.Unavailable("the campaign is being fenced", nil)
	default:
		return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is open")
	}
}

func (s *Store) begin(tx *gorm.DB, row *campaignRow) (coupon.Document, error) {
	now := s.now()
	carried, err := carryFailures(tx, row.ID, now)
	if err != nil {
		return coupon.Document{}, err
	}
	highest, err := highestSerial(tx, row.ID)
	if err != nil {
		return coupon.Document{}, err
	}
	err = tx.Exec("UPDATE campaign_epochs SET state = 'closed', closed_at = ? WHERE campaign_id = ? AND epoch = ?",
		now, row.ID, row.Epoch).Error
	if err != nil {
		return coupon.Document{}, err
	}

	row.Epoch++
	row.Version++
	row.Lo, row.Hi = openingRange(highest, carried, row.LimitCount, row.Issued)
	row.HiWanted, row.Seal, row.Base = row.Hi, "", 0
	err = tx.Exec(`UPDATE campaigns SET epoch = ?, epoch_state = 'loading', epoch_since = ?, mode = 'redis', seal = '',
		hi = ?, hi_wanted = ?, version = ?, updated_at = ? WHERE id = ?`,
		row.Epoch, now, row.Hi, row.HiWanted, row.Version, now, row.ID).Error
	if err != nil {
		return coupon.Document{}, err
	}
	err = tx.Exec(`INSERT INTO campaign_epochs (campaign_id, epoch, lo, hi, hi_max, mode, state)
		VALUES (?, ?, ?, ?, ?, 'redis', 'loading')`, row.ID, row.Epoch, row.Lo, row.Hi, row.Hi).Error
	if err != nil {
		return coupon.Document{}, err
	}
	return row.document()
}

// openingRange returns the serials of a new epoch. The carried places lie below lo: each is a serial to spare for a
// carried event whose own has been taken. hi = lo − 1 when nothing is free.
func openingRange(highest, carried, limit, issued int64) (lo, hi int64) {
	lo = highest + carried + 1
	return lo, lo + max(0, limit-issued-carried) - 1
}

// highestSerial returns the highest serial any activated epoch could have given. A loading one gave none.
func highestSerial(tx *gorm.DB, campaign int64) (int64, error) {
	var highest int64
	err := tx.Raw("SELECT COALESCE(MAX(hi_max), 0) FROM campaign_epochs WHERE campaign_id = ? AND opened_at IS NOT NULL",
		campaign).Scan(&highest).Error
	return highest, err
}

// carryFailures marks the live failed events as carried and returns how many places they keep.
func carryFailures(tx *gorm.DB, campaign int64, now time.Time) (int64, error) {
	err := tx.Exec("UPDATE failed_events SET carried = 1, updated_at = ? WHERE campaign_id = ? AND status IN "+liveFailure,
		now, campaign).Error
	if err != nil {
		return 0, err
	}
	var carried int64
	err = tx.Raw(countKept+" f.campaign_id = ?", campaign).Scan(&carried).Error
	return carried, err
}

// ActivateEpoch opens the epoch doc describes on the Redis whose seal it carries (step F7): from here on exactly that
// Redis may grant. A draft becomes active. It returns the document to give to Redis, read in the same transaction.
// Running it again after an unknown result gives the same answer. CodeUnavailable when another opening took over.
func (s *Store) ActivateEpoch(ctx context.Context, doc coupon.Document) (coupon.Document, error) {
	var document coupon.Document
	err := s.transaction(ctx, "activate epoch", func(tx *gorm.DB) error {
		row, err := lockCampaign(tx, doc.Campaign)
		if err != nil {
			return err
		}
		switch {
		case row.Status == coupon.CampaignClosed:
			return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is closed")
		case row.Epoch != doc.Epoch:
			return coupon.Unavailable("another opening took over", nil)
		case row.EpochState == coupon.EpochActive && row.Seal == doc.Seal:
			document, err = row.document()
			return err
		case row.EpochState != coupon.EpochLoading:
			return coupon.Unavailable("the epoch is no longer loading", nil)
		}
		document, err = s.activate(tx, row, doc)
		return err
	})
	return document, err
}

func (s *Store) activate(tx *gorm.DB, row *campaignRow, doc coupon.Document) (coupon.Document, error) {
	now := s.now()
	row.Seal, row.Base = doc.Seal, doc.Base
	row.Version++
	if row.Status == coupon.CampaignDraft {
		row.Status = coupon.CampaignActive
	}
	err := tx.Exec(`UPDATE campaigns SET epoch_state = 'active', epoch_since = ?, seal = ?, status = ?, version = ?,
		updated_at = ? WHERE id = ?`, now, row.Seal, row.Status, row.Version, now, row.ID).Error
	if err != nil {
		return coupon.Document{}, err
	}
	err = tx.Exec(`UPDATE campaign_epochs SET state = 'active', seal = ?, base = ?, opened_at = ?
		WHERE campaign_id = ? AND epoch = ?`, row.Seal, row.Base, now, row.ID, row.Epoch).Error
	if err != nil {
		return coupon.Document{}, err
	}
	return row.document()
}

func (r *campaignRow) document() (coupon.Document, error) {
	campaign, err := r.campaign()
	return campaign.Document(), err
}
