package mysqlstore

import (
	"context"
	"slices"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Watched returns the campaigns whose claim state somebody must look after, in the order of their ids: those that were
// opened and not closed, those that are closed and whose epoch is not, and every one that is being fenced or loaded, a
// draft too. A closed campaign whose epoch is open in mode sql has no claim state left to lose and is absent.
func (s *Store) Watched(ctx context.Context) ([]coupon.Campaign, error) {
	return s.campaigns(ctx, ` WHERE c.epoch > 0 AND (c.status IN ('active', 'paused') OR c.epoch_state IN ('fencing', 'loading')
		OR c.status = 'closed' AND c.epoch_state = 'active' AND c.mode = 'redis') ORDER BY c.slug`)
}

// WantFence asks for the end of a campaign's epoch and returns the campaign; its FenceWanted is its Epoch. A repeat is a
// no-op. The wish dies with the epoch: the next one has another number. CodeInvalidTransition unless the campaign is active
// or paused and its epoch is open.
func (s *Store) WantFence(ctx context.Context, id string) (coupon.Campaign, error) {
	return s.change(ctx, "ask for a fence", id, func(tx *gorm.DB, row *campaignRow) error {
		if row.Status != coupon.CampaignActive && row.Status != coupon.CampaignPaused {
			return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is "+string(row.Status))
		}
		if row.EpochState != coupon.EpochActive {
			return coupon.NewError(coupon.CodeInvalidTransition, "the campaign's epoch is "+string(row.EpochState))
		}
		return tx.Exec("UPDATE campaigns SET fence_wanted = epoch WHERE id = ? AND epoch = ? AND epoch_state = 'active'",
			row.ID, row.Epoch).Error
	})
}

// BeginFence takes the epochs of refs that are open to fencing (step F1): once it was committed, nothing new of them is
// confirmed. It returns, in the order given, the refs that are fencing now, those that were before included: one log drained
// afterwards serves all of them. A row that stays locked for 5 s keeps only its own campaign from it, and is to be tried
// again. CodeUnavailable when nothing is fencing by it.
func (s *Store) BeginFence(ctx context.Context, refs []coupon.EpochRef) ([]coupon.EpochRef, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	begun, err := s.beginFence(ctx, refs)
	if serverError(err) != errLockTimeout {
		return begun, err
	}
	yielding, looking := s.yielding(ctx, refs)
	if looking != nil || len(yielding) == 0 {
		return nil, err
	}
	return s.beginFence(ctx, yielding)
}

// yielding returns the refs whose campaigns nobody has locked at this moment.
func (s *Store) yielding(ctx context.Context, refs []coupon.EpochRef) ([]coupon.EpochRef, error) {
	slugs := make([]string, len(refs))
	for i, ref := range refs {
		slugs[i] = ref.Campaign
	}
	var free []string
	err := s.transaction(ctx, "look for locked campaigns", func(tx *gorm.DB) error {
		return tx.Raw("SELECT slug FROM campaigns WHERE slug IN ? FOR UPDATE SKIP LOCKED", slugs).Scan(&free).Error
	})
	locked := func(ref coupon.EpochRef) bool { return !slices.Contains(free, ref.Campaign) }
	return slices.DeleteFunc(slices.Clone(refs), locked), err
}

// beginFence is one statement, and a row that is locked for 5 s fails it.
func (s *Store) beginFence(ctx context.Context, refs []coupon.EpochRef) ([]coupon.EpochRef, error) {
	slugs, pairs := make([]any, 0, len(refs)), make([]any, 0, 2*len(refs))
	for _, ref := range refs {
		slugs, pairs = append(slugs, ref.Campaign), append(pairs, ref.Campaign, ref.Epoch)
	}
	var rows []struct {
		Slug  string
		Epoch int64
	}
	err := s.transaction(ctx, "begin fence", func(tx *gorm.DB) error {
		// The order of the join is the order of locks. The ids by themselves are what both servers find by index.
		err := tx.Exec(`UPDATE campaigns c STRAIGHT_JOIN campaign_epochs e ON e.campaign_id = c.id AND e.epoch = c.epoch
			SET c.epoch_state = 'fencing', c.epoch_since = UTC_TIMESTAMP(6), e.state = 'fencing'
			WHERE c.slug IN `+tuples(1, len(slugs))+` AND (c.slug, c.epoch) IN (`+tuples(len(refs), 2)+`)
			AND c.epoch_state = 'active'`, append(append([]any{}, slugs...), pairs...)...).Error
		if err != nil {
			return err
		}
		return tx.Raw("SELECT slug, epoch FROM campaigns WHERE epoch_state = 'fencing' AND slug IN "+tuples(1, len(slugs)),
			slugs...).Scan(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	fencing := make(map[coupon.EpochRef]bool, len(rows))
	for _, row := range rows {
		fencing[coupon.EpochRef{Campaign: row.Slug, Epoch: row.Epoch}] = true
	}
	var begun []coupon.EpochRef
	for _, ref := range refs {
		if fencing[ref] {
			begun = append(begun, ref)
		}
	}
	return begun, nil
}

// CloseEpoch ends an epoch that is fencing and whose log is drained (step F5), and opens the next: loading in mode redis,
// open at once in mode sql. An open lowering is settled, live failed events are carried over, and a closed campaign gets no
// next epoch: its EpochState is closed. It returns the campaign as it then is.
//
// CodeUnavailable when the campaign is not fencing at ref: somebody else did it, or this very call did and its answer was
// lost. Read the campaign again.
func (s *Store) CloseEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error) {
	return s.change(ctx, "close epoch", ref.Campaign, func(tx *gorm.DB, row *campaignRow) error {
		if row.Epoch != ref.Epoch || row.EpochState != coupon.EpochFencing {
			return coupon.Unavailable("the epoch is no longer fencing", nil)
		}
		return s.nextEpoch(tx, row, mode)
	})
}

// TakeOverEpoch abandons an epoch that is loading and made no progress for 10 s (TouchEpoch), and opens the next as
// CloseEpoch does. The number is new, so whoever still loads the abandoned one writes keys that nobody reads, and its
// serials are given to the next. CodeUnavailable when the campaign is not loading at ref, or makes progress.
func (s *Store) TakeOverEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error) {
	return s.change(ctx, "take over epoch", ref.Campaign, func(tx *gorm.DB, row *campaignRow) error {
		if row.Epoch != ref.Epoch || row.EpochState != coupon.EpochLoading {
			return coupon.Unavailable("the epoch is no longer loading", nil)
		}
		if err := mayTakeOver(tx, row); err != nil {
			return err
		}
		return s.nextEpoch(tx, row, mode)
	})
}

// mayTakeOver judges by the database's clock alone. A clock that was set back says "long ago" too: a take-over too early
// costs a number, one that waits for the clock to catch up would leave the campaign shut.
func mayTakeOver(tx *gorm.DB, row *campaignRow) error {
	var stalled bool
	err := tx.Raw(`SELECT COALESCE(ABS(TIMESTAMPDIFF(MICROSECOND, epoch_since, UTC_TIMESTAMP(6))) >= 10000000, TRUE)
		FROM campaigns WHERE id = ?`, row.ID).Scan(&stalled).Error
	if err == nil && !stalled {
		return coupon.Unavailable("another opening is loading the campaign", nil)
	}
	return err
}

// TouchEpoch says that the loading of an epoch makes progress: it cannot be taken over for the next 10 s. CodeUnavailable
// when it was taken over already, or is no longer loading.
func (s *Store) TouchEpoch(ctx context.Context, ref coupon.EpochRef) error {
	touched, err := s.exec(ctx, "touch epoch", `UPDATE campaigns SET epoch_since = UTC_TIMESTAMP(6)
		WHERE slug = ? AND epoch = ? AND epoch_state = 'loading'`, ref.Campaign, ref.Epoch)
	if err == nil && touched == 0 {
		return coupon.Unavailable("another opening took over", nil)
	}
	return err
}
