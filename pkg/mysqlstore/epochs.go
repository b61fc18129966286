package mysqlstore

import (
	"context"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// liveFailure are the statuses of failed events that keep their place in the stock.
const liveFailure = "('pending', 'leased', 'parked')"

// countKept counts the places that failed events f keep: one for each (user, n) that has a live event and no row. Which
// campaign's, and which of its events keep a place, is to be said after it.
const countKept = `SELECT COUNT(DISTINCT f.user_id, f.n) FROM failed_events f WHERE f.status IN ` + liveFailure + `
	AND NOT EXISTS (SELECT 1 FROM coupons o WHERE o.campaign_id = f.campaign_id AND o.user_id = f.user_id AND o.n = f.n)
	AND`

// BeginEpoch starts to open a campaign (step F5 of the fence): it takes a new epoch number and the range of serials that
// is free for it. In mode redis the epoch is left loading, and nothing is granted before ActivateEpoch; a process that dies
// between the two leaves an epoch nobody reads, and the next BeginEpoch takes over after 10 s under a new number. In mode
// sql the epoch is open at once, and a draft becomes active.
//
// CodeUnavailable while another opening or a fence is at work, CodeInvalidTransition when the campaign is open or closed.
func (s *Store) BeginEpoch(ctx context.Context, id string, mode coupon.Mode) (coupon.Campaign, error) {
	return s.change(ctx, "begin epoch", id, func(tx *gorm.DB, row *campaignRow) error {
		if err := mayBegin(tx, row); err != nil {
			return err
		}
		return s.nextEpoch(tx, row, mode)
	})
}

func mayBegin(tx *gorm.DB, row *campaignRow) error {
	if row.Status == coupon.CampaignClosed {
		return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is closed")
	}
	switch row.EpochState {
	case coupon.EpochNone:
		return nil
	case coupon.EpochLoading:
		return mayTakeOver(tx, row)
	case coupon.EpochFencing:
		return coupon.Unavailable("the campaign is being fenced", nil)
	default:
		return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is open")
	}
}

// nextEpoch ends the campaign's epoch, if it has one, and takes the number and the serials of the next (step F5). Whoever
// calls it has the row locked and knows that nothing of the ended epoch is left in the log. A closed campaign gets no next
// epoch: its epoch ends, and its holders are answered from the rows.
func (s *Store) nextEpoch(tx *gorm.DB, row *campaignRow, mode coupon.Mode) error {
	carried, err := s.carryFailures(tx, row)
	if err != nil {
		return err
	}
	if err := s.settleLowering(tx, row, row.LimitCount-row.Lowering >= row.Issued+carried); err != nil {
		return err
	}
	if err := closeEpoch(tx, row); err != nil {
		return err
	}
	if row.Status == coupon.CampaignClosed {
		return s.retire(tx, row)
	}
	highest, err := highestSerial(tx, row.ID)
	if err != nil {
		return err
	}
	lo, hi := openingRange(highest, carried, row.LimitCount, row.Issued)
	return s.openEpoch(tx, row, mode, lo, hi)
}

// carryFailures marks the live failed events of the ending epoch as carried and returns how many places are kept. Those of
// epochs before it that are not carried were filed after the log had been drained for their epoch's end: they were no
// promise, keep no place, and issue() finds them stale.
func (s *Store) carryFailures(tx *gorm.DB, row *campaignRow) (int64, error) {
	err := tx.Exec(`UPDATE failed_events SET carried = 1, updated_at = ?
		WHERE campaign_id = ? AND epoch = ? AND carried = 0 AND status IN `+liveFailure, s.now(), row.ID, row.Epoch).Error
	if err != nil {
		return 0, err
	}
	var carried int64
	err = tx.Raw(countKept+" f.carried = 1 AND f.campaign_id = ?", row.ID).Scan(&carried).Error
	return carried, err
}

// closeEpoch ends an epoch. What one in mode sql has not given out is free for the next.
func closeEpoch(tx *gorm.DB, row *campaignRow) error {
	return tx.Exec(`UPDATE campaign_epochs SET state = 'closed', closed_at = UTC_TIMESTAMP(6),
		hi_max = IF(mode = 'sql', ?, hi_max) WHERE campaign_id = ? AND epoch = ? AND state = ?`,
		row.NextSerial-1, row.ID, row.Epoch, row.EpochState).Error
}

func (s *Store) retire(tx *gorm.DB, row *campaignRow) error {
	err := tx.Exec(`UPDATE campaigns SET epoch_state = 'closed', epoch_since = UTC_TIMESTAMP(6), version = version + 1,
		updated_at = ? WHERE id = ? AND epoch = ? AND epoch_state = ?`,
		s.now(), row.ID, row.Epoch, row.EpochState).Error
	if err != nil {
		return err
	}
	return s.reviveTaken(tx, row.ID)
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

// openEpoch writes the next epoch: loading in mode redis, open at once in mode sql.
func (s *Store) openEpoch(tx *gorm.DB, row *campaignRow, mode coupon.Mode, lo, hi int64) error {
	state, status := coupon.EpochLoading, row.Status
	if mode == coupon.ModeSQL {
		state, status = coupon.EpochActive, opened(row.Status)
	}
	err := tx.Exec(`UPDATE campaigns SET epoch = epoch + 1, epoch_state = ?, epoch_since = UTC_TIMESTAMP(6), mode = ?,
		seal = '', hi = ?, hi_wanted = ?, next_serial = ?, status = ?, version = version + 1, updated_at = ?
		WHERE id = ? AND epoch = ? AND epoch_state = ?`,
		state, mode, hi, hi, lo, status, s.now(), row.ID, row.Epoch, row.EpochState).Error
	if err != nil {
		return err
	}
	err = tx.Exec(`INSERT INTO campaign_epochs (campaign_id, epoch, lo, hi, hi_max, mode, state, opened_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, IF(? = 'active', UTC_TIMESTAMP(6), NULL))`,
		row.ID, row.Epoch+1, lo, hi, hi, mode, state, state).Error
	if err != nil || mode != coupon.ModeSQL {
		return err
	}
	return s.reviveTaken(tx, row.ID)
}

// opened is what the status of a campaign becomes with its epoch's opening.
func opened(s coupon.CampaignStatus) coupon.CampaignStatus {
	if s == coupon.CampaignDraft {
		return coupon.CampaignActive
	}
	return s
}

// ActivateEpoch opens the epoch doc describes on the Redis whose seal it carries (step F7): from here on exactly that
// Redis may grant. A draft becomes active. It returns the document to give to Redis, read in the same transaction.
// Running it again after an unknown result gives the same answer. CodeUnavailable when another opening took over.
func (s *Store) ActivateEpoch(ctx context.Context, doc coupon.Document) (coupon.Document, error) {
	campaign, err := s.change(ctx, "activate epoch", doc.Campaign, func(tx *gorm.DB, row *campaignRow) error {
		switch {
		case row.Status == coupon.CampaignClosed:
			return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is closed")
		case row.Epoch != doc.Epoch:
			return coupon.Unavailable("another opening took over", nil)
		case row.EpochState == coupon.EpochActive && row.Seal == doc.Seal:
			return nil
		case row.EpochState != coupon.EpochLoading:
			return coupon.Unavailable("the epoch is no longer loading", nil)
		}
		return s.activate(tx, row, doc)
	})
	if err != nil {
		return coupon.Document{}, err
	}
	return campaign.Document(), nil
}

func (s *Store) activate(tx *gorm.DB, row *campaignRow, doc coupon.Document) error {
	err := tx.Exec(`UPDATE campaigns SET epoch_state = 'active', epoch_since = UTC_TIMESTAMP(6), seal = ?, status = ?,
		version = version + 1, updated_at = ? WHERE id = ? AND epoch = ? AND epoch_state = 'loading'`,
		doc.Seal, opened(row.Status), s.now(), row.ID, row.Epoch).Error
	if err != nil {
		return err
	}
	err = tx.Exec(`UPDATE campaign_epochs SET state = 'active', seal = ?, base = ?, opened_at = UTC_TIMESTAMP(6)
		WHERE campaign_id = ? AND epoch = ? AND state = 'loading'`, doc.Seal, doc.Base, row.ID, row.Epoch).Error
	if err != nil {
		return err
	}
	return s.reviveTaken(tx, row.ID)
}

// reviveTaken makes the carried events due at once whose serial another user has: there are serials to spare for them now.
// One that is being retried is taken from its holder, who may have been refused before and would park it.
func (s *Store) reviveTaken(tx *gorm.DB, campaign int64) error {
	return tx.Exec(`UPDATE failed_events SET status = 'pending', attempts = 0, lease_token = NULL, lease_until = NULL,
		next_attempt_at = LEAST(next_attempt_at, UTC_TIMESTAMP(6)), updated_at = ?
		WHERE campaign_id = ? AND carried = 1 AND status IN ('leased', 'parked') AND reason = ?`,
		s.now(), campaign, coupon.ReasonSerialTaken).Error
}
