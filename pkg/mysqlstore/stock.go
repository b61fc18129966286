package mysqlstore

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// RaiseLimit adds delta places to a campaign's limit and returns it. Those that failed events hold above the limit come
// first, and hi rises by the rest. The servers see the new hi with their next view of the record; Redis may give the places
// out once RaiseWanted has told it. In mode sql they are free at once. Running it again after an unknown result raises again: whoever repeats must know that the first did not happen.
//
// CodeInvalidTransition for a closed campaign.
func (s *Store) RaiseLimit(ctx context.Context, id string, delta int64, reason, actor string) (coupon.Campaign, error) {
	return s.adjust(ctx, "raise limit", id, delta, func(tx *gorm.DB, row *campaignRow) error {
		if row.LimitCount+delta > highestLimit {
			return badDelta(fmt.Sprintf("leaves the limit at most %d", int64(highestLimit)))
		}
		if err := row.addStock(tx, delta); err != nil {
			return err
		}
		row.LimitCount += delta
		if err := s.enter(tx, row, ledgerEntry{coupon.AdjustmentRaise, delta, nil, reason, actor}); err != nil {
			return err
		}
		return s.saveStock(tx, row)
	})
}

// highestLimit keeps every serial a whole number of Lua, whose numbers are doubles.
const highestLimit = 1 << 50

// addStock makes serials expected for n more places, in a row whose limit and places taken are still those from before. Places
// that are kept above the limit are owed, and are not sold: there is one for each promise that lost its serial to another
// user. Redis learns of the serials later (RaiseWanted); in mode sql nobody needs to be told.
func (r *campaignRow) addStock(tx *gorm.DB, n int64) error {
	if r.Epoch == 0 || r.EpochState == coupon.EpochClosed {
		return nil // the first epoch starts with the limit there is then, and after the last nothing is sold
	}
	kept, err := r.kept(tx)
	if err != nil {
		return err
	}
	owed := max(0, r.Issued+kept-r.LimitCount)
	free := max(0, n-owed)
	r.Hi += free
	if r.Mode == coupon.ModeSQL {
		r.HiWanted += free
		r.Version++
	}
	return nil
}

// kept counts the places that the campaign's failed events keep: those of its epoch and those that were carried over.
func (r *campaignRow) kept(tx *gorm.DB) (kept int64, err error) {
	err = tx.Raw(countKept+" (f.carried = 1 OR f.epoch = ?) AND f.campaign_id = ?", r.Epoch, r.ID).Scan(&kept).Error
	return kept, err
}

// adjust is a change of the limit of a campaign that is not closed.
func (s *Store) adjust(
	ctx context.Context, doing, id string, delta int64, change func(tx *gorm.DB, row *campaignRow) error,
) (coupon.Campaign, error) {
	if delta < 1 || delta > highestLimit {
		return coupon.Campaign{}, badDelta("is not 0, and no more than a limit can be")
	}
	return s.change(ctx, doing, id, func(tx *gorm.DB, row *campaignRow) error {
		if row.Status == coupon.CampaignClosed {
			return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is closed")
		}
		return change(tx, row)
	})
}

func badDelta(words string) error {
	return &coupon.Error{Code: coupon.CodeValidationFailed, Fields: []coupon.FieldError{
		{Pointer: "/delta", Code: "out_of_range", Detail: words},
	}}
}

// saveStock writes what a stock move made of a locked row, and keeps the epoch's range as wide as hi ever was: a serial of
// it is known to be genuine by that. That of a closed one stays: what it did not give out may be another's by now.
func (s *Store) saveStock(tx *gorm.DB, row *campaignRow) error {
	row.UpdatedAt = s.now()
	err := tx.Exec(`UPDATE campaigns SET limit_count = ?, issued = ?, hi = ?, hi_wanted = ?, lowering = ?, version = ?,
		updated_at = ? WHERE id = ?`, row.LimitCount, row.Issued, row.Hi, row.HiWanted, row.Lowering, row.Version,
		row.UpdatedAt, row.ID).Error
	if err != nil || row.Hi <= row.HiMax || row.EpochState == coupon.EpochClosed {
		return err
	}
	row.HiMax = row.Hi
	return tx.Exec("UPDATE campaign_epochs SET hi_max = ? WHERE campaign_id = ? AND epoch = ?",
		row.HiMax, row.ID, row.Epoch).Error
}

// ledgerEntry is a row of the stock ledger on its way in; a nil ref is NULL.
type ledgerEntry struct {
	kind          coupon.AdjustmentKind
	delta         int64
	ref           *string
	reason, actor string
}

func (s *Store) enter(tx *gorm.DB, row *campaignRow, e ledgerEntry) error {
	return tx.Exec(`INSERT INTO stock_ledger (campaign_id, kind, delta, ref, reason, actor, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		row.ID, e.kind, e.delta, e.ref, storableText(e.reason), storableName(e.actor), s.now()).Error
}

// storableName cuts the name of an actor to what its column holds.
func storableName(s string) string {
	const longest = 128
	runes := []rune(storableText(s))
	return string(runes[:min(len(runes), longest)])
}

// RaiseWanted lets Redis give out what the servers expect: hi_wanted becomes seen, or hi when that is less by now. It is
// for a server that has known hi ≥ seen for 2 s under this version of the campaign. A lowering changes the version, so a
// hi that went down and up again meanwhile, and left a server's view in between, is not taken for one that stood.
//
// It returns the campaign as it is, changed or not: nothing is done when another server was first, while a lowering is
// open, and in another epoch.
func (s *Store) RaiseWanted(ctx context.Context, ref coupon.EpochRef, version, seen int64) (coupon.Campaign, error) {
	_, err := s.exec(ctx, "raise hi_wanted", `UPDATE campaigns SET hi_wanted = LEAST(hi, ?), version = version + 1,
		updated_at = ? WHERE slug = ? AND epoch = ? AND epoch_state = 'active' AND version = ? AND lowering = 0
		AND hi_wanted < LEAST(hi, ?)`, seen, s.now(), ref.Campaign, ref.Epoch, version, seen)
	if err != nil {
		return coupon.Campaign{}, err
	}
	return s.Campaign(ctx, ref.Campaign)
}

// Adjustments returns up to limit entries of a campaign's stock ledger, the oldest first, from the first one after the id
// given.
func (s *Store) Adjustments(ctx context.Context, id string, after int64, limit int) ([]coupon.Adjustment, error) {
	if !coupon.ValidCampaignID(id) {
		return nil, nil
	}
	var adjustments []coupon.Adjustment
	_, err := s.read(ctx, "read stock ledger", &adjustments, `SELECT l.id, l.kind, l.delta, COALESCE(l.ref, '') AS ref,
		l.reason, l.actor, l.created_at FROM stock_ledger l JOIN campaigns c ON c.id = l.campaign_id
		WHERE c.slug = ? AND l.id > ? ORDER BY l.id LIMIT ?`, id, after, limit)
	return adjustments, err
}
