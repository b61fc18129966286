package mysqlstore

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// BeginLowering takes delta places from a campaign's limit, or records the wish to. The campaign it returns says which: with
// Lowering = 0 it is done. Else Redis has to be asked, for it may have given the places out: push the document, then
// FinishLowering with its answer. A wish whose server dies is finished by whoever pushes next, or by the end of the epoch.
//
// CodeAdjusting while another wish is open, CodeLimitBelowClaimed when more places are known to be taken, CodeUnavailable
// while the campaign is being fenced, CodeInvalidTransition for a closed one.
func (s *Store) BeginLowering(ctx context.Context, id string, delta int64, reason, actor string) (coupon.Campaign, error) {
	return s.adjust(ctx, "begin lowering", id, delta, func(tx *gorm.DB, row *campaignRow) error {
		if err := mayLower(tx, row, delta); err != nil {
			return err
		}
		if row.onlyRedisKnows(delta) {
			return s.wishLower(tx, row, lowering{Delta: delta, Reason: reason, Actor: actor})
		}
		row.Version++
		return s.lower(tx, row, lowering{Delta: delta, Version: row.Version, Reason: reason, Actor: actor})
	})
}

// lowering is a wish to lower a limit.
type lowering struct {
	Delta         int64
	Version       int64 // of the first document that tells Redis of it
	WantedBefore  int64 // hi_wanted, as a refusal brings it back
	Reason, Actor string
}

func mayLower(tx *gorm.DB, row *campaignRow, delta int64) error {
	switch {
	case row.Lowering > 0:
		return coupon.NewError(coupon.CodeAdjusting, "another lowering is not settled yet")
	case row.EpochState == coupon.EpochFencing:
		return coupon.Unavailable("the campaign is being fenced", nil)
	case row.LimitCount-delta < 1:
		return badDelta("leaves a limit of at least 1")
	}
	kept, err := row.kept(tx)
	if err != nil {
		return err
	}
	if row.LimitCount-delta < row.Issued+kept || row.Epoch > 0 && row.Hi-delta < row.given() {
		return coupon.NewError(coupon.CodeLimitBelowClaimed, "more places are taken than that limit has")
	}
	return nil
}

// given returns the highest serial that MySQL knows to be given out or past: in mode redis that is the epoch's beginning.
func (r *campaignRow) given() int64 {
	if r.Mode == coupon.ModeSQL {
		return r.NextSerial - 1
	}
	return r.Lo - 1
}

// onlyRedisKnows reports whether some of the highest delta serials may be given out. Redis was never told of those above
// hi_wanted, and of an epoch that is loading it was told nothing.
func (r *campaignRow) onlyRedisKnows(delta int64) bool {
	return r.EpochState == coupon.EpochActive && r.Mode == coupon.ModeRedis && r.Hi-delta < r.HiWanted
}

// wishLower makes the document tell Redis the smaller hi, and keeps the rest for its answer. A wish that is there belongs
// to no open lowering any more.
func (s *Store) wishLower(tx *gorm.DB, row *campaignRow, wish lowering) error {
	wish.WantedBefore = row.HiWanted
	row.Version++
	row.Lowering, row.HiWanted = wish.Delta, row.Hi-wish.Delta
	err := tx.Exec(`REPLACE INTO lowerings (campaign_id, version, wanted_before, reason, actor, created_at)
		VALUES (?, ?, ?, ?, ?, ?)`,
		row.ID, row.Version, wish.WantedBefore, storableText(wish.Reason), storableName(wish.Actor), s.now()).Error
	if err != nil {
		return err
	}
	return s.saveStock(tx, row)
}

// lower takes the places, and names the document's version in the ledger: whoever wished it finds it there.
func (s *Store) lower(tx *gorm.DB, row *campaignRow, wish lowering) error {
	row.LimitCount -= wish.Delta
	if row.Epoch > 0 {
		row.Hi = max(row.Hi-wish.Delta, 0)
		row.HiWanted = min(row.HiWanted, row.Hi)
	}
	ref := wishRef(wish.Version)
	if err := s.enter(tx, row, ledgerEntry{coupon.AdjustmentLower, -wish.Delta, &ref, wish.Reason, wish.Actor}); err != nil {
		return err
	}
	return s.saveStock(tx, row)
}

func wishRef(version int64) string { return fmt.Sprintf("version:%d", version) }

// FinishLowering settles an open lowering by what Redis answered to the push of doc: taken says that its hi is now no
// higher than doc's. With a nil error the limit is lower. CodeLimitBelowClaimed says that it is not: Redis refused, and
// hi_wanted is what it was.
//
// A lowering that is settled already is not settled again, nor is a later one by an answer to an earlier document: the
// error then tells how the one ended that began with doc.
func (s *Store) FinishLowering(ctx context.Context, doc coupon.Document, taken bool) (coupon.Campaign, error) {
	var lowered bool
	campaign, err := s.change(ctx, "finish lowering", doc.Campaign, func(tx *gorm.DB, row *campaignRow) (err error) {
		lowered, err = s.finishLowering(tx, row, doc, taken)
		return err
	})
	if err == nil && !lowered {
		err = coupon.NewError(coupon.CodeLimitBelowClaimed, "more places are given out than that limit has")
	}
	return campaign, err
}

func (s *Store) finishLowering(tx *gorm.DB, row *campaignRow, doc coupon.Document, taken bool) (lowered bool, err error) {
	if row.Lowering > 0 && row.Epoch == doc.Epoch {
		wish, err := openLowering(tx, row)
		if err != nil {
			return false, err
		}
		if wish.Version <= doc.Version {
			if taken && row.LimitCount-wish.Delta < row.Issued { // said by a Redis that lost claims
				taken = false
				if err := tx.Exec(wantFence, row.ID).Error; err != nil {
					return false, err
				}
			}
			return taken, s.endWish(tx, row, wish, taken)
		}
	}
	var entries int64
	err = tx.Raw("SELECT COUNT(*) FROM stock_ledger WHERE campaign_id = ? AND kind = 'lower' AND ref = ?",
		row.ID, wishRef(doc.Version)).Scan(&entries).Error
	return entries > 0, err
}

func openLowering(tx *gorm.DB, row *campaignRow) (lowering, error) {
	wish := lowering{WantedBefore: row.HiWanted}
	err := tx.Raw("SELECT version, wanted_before, reason, actor FROM lowerings WHERE campaign_id = ?", row.ID).Scan(&wish).Error
	wish.Delta = row.Lowering
	return wish, err
}

// settleLowering ends the open lowering of a locked row, if there is one: the places are taken, or Redis keeps them. The fence
// calls it when it closes the epoch whose Redis was asked, before it computes what is free.
func (s *Store) settleLowering(tx *gorm.DB, row *campaignRow, taken bool) error {
	if row.Lowering == 0 {
		return nil
	}
	wish, err := openLowering(tx, row)
	if err != nil {
		return err
	}
	return s.endWish(tx, row, wish, taken)
}

func (s *Store) endWish(tx *gorm.DB, row *campaignRow, wish lowering, taken bool) error {
	row.Lowering = 0
	row.Version++
	if err := tx.Exec("DELETE FROM lowerings WHERE campaign_id = ?", row.ID).Error; err != nil {
		return err
	}
	if taken {
		return s.lower(tx, row, wish)
	}
	row.HiWanted = min(wish.WantedBefore, row.Hi)
	return s.saveStock(tx, row)
}
