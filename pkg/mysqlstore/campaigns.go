package mysqlstore

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// closedInView is how long a closed campaign stays in the servers' view, so that its users are answered "ended".
const closedInView = 7 * 24 * time.Hour

// CreateCampaign records a draft with the fields of c that an operator chooses. CodeCampaignExists when its id is taken.
func (s *Store) CreateCampaign(ctx context.Context, c coupon.Campaign) error {
	offer, err := encodeOffer(c)
	if err != nil {
		return err
	}
	now := s.now()
	_, err = s.exec(ctx, "create campaign", `INSERT INTO campaigns
		(slug, name, limit_count, per_user_limit, starts_at, ends_at, discount, validity, metadata,
		 restock_on_cancel, stock_display, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.ID, c.Name, c.Limit, max(c.PerUserLimit, 1), c.StartsAt, c.EndsAt, offer.discount, offer.validity, offer.metadata,
		c.RestockOnCancel, stockDisplay(c.StockDisplay), now, now)
	if isDuplicateKey(err) {
		return coupon.NewError(coupon.CodeCampaignExists, c.ID)
	}
	return err
}

// Campaign returns a campaign with its current epoch. CodeCampaignNotFound when there is none.
func (s *Store) Campaign(ctx context.Context, id string) (coupon.Campaign, error) {
	if !coupon.ValidCampaignID(id) { // asked all the same, the servers find "a" for "a " and fail for "é"
		return coupon.Campaign{}, coupon.NewError(coupon.CodeCampaignNotFound, id)
	}
	var row campaignRow
	found, err := s.read(ctx, "read campaign", &row, selectCampaigns+" WHERE c.slug = ?", id)
	if err != nil {
		return coupon.Campaign{}, err
	}
	if found == 0 {
		return coupon.Campaign{}, coupon.NewError(coupon.CodeCampaignNotFound, id)
	}
	return row.campaign()
}

// Campaigns returns up to limit campaigns, drafts too, in the order of their ids, from the first one after the id given: ""
// for the first of all. After what can be no id there is none.
func (s *Store) Campaigns(ctx context.Context, after string, limit int) ([]coupon.Campaign, error) {
	if after != "" && !coupon.ValidCampaignID(after) {
		return nil, nil
	}
	return s.campaigns(ctx, " WHERE c.slug > ? ORDER BY c.slug LIMIT ?", after, limit)
}

// View returns every campaign users may know of and are likely to ask for: all but those that were never opened and those
// that are long closed. Campaign still finds the latter, whose users keep their coupons.
func (s *Store) View(ctx context.Context) ([]coupon.Campaign, error) {
	since := s.now().Add(-closedInView)
	return s.campaigns(ctx, ` WHERE c.status IN ('active', 'paused')
		OR (c.status = 'closed' AND (c.ends_at > ? OR c.updated_at > ?) AND EXISTS (SELECT 1 FROM campaign_epochs o
		WHERE o.campaign_id = c.id AND o.opened_at IS NOT NULL)) ORDER BY c.slug`, since, since)
}

// campaigns reads many campaigns. It scans by hand: every server and every warden does this each second or more often, and
// gorm's reflection took two fifths of the processor time.
func (s *Store) campaigns(ctx context.Context, condition string, args ...any) ([]coupon.Campaign, error) {
	rows, err := s.db.WithContext(ctx).Raw(selectCampaigns+condition, args...).Rows()
	if err != nil {
		return nil, storeError(readingCampaigns, err)
	}
	defer func() { _ = rows.Close() }()
	var campaigns []coupon.Campaign
	for rows.Next() {
		var row campaignRow
		if err := rows.Scan(row.columns()...); err != nil {
			return nil, storeError(readingCampaigns, err)
		}
		campaign, err := row.campaign()
		if err != nil {
			return nil, err
		}
		campaigns = append(campaigns, campaign)
	}
	if err := rows.Err(); err != nil {
		return nil, storeError(readingCampaigns, err)
	}
	return campaigns, nil
}

const readingCampaigns = "read campaigns"

// SetStatus moves a campaign and returns it. Its version rises only when the status changes, so a repeat is a no-op.
// CodeInvalidTransition when CanBecome says no, and for a draft that is to become active: that is an opening (BeginEpoch).
func (s *Store) SetStatus(ctx context.Context, id string, to coupon.CampaignStatus) (coupon.Campaign, error) {
	return s.change(ctx, "set campaign status", id, func(tx *gorm.DB, row *campaignRow) error {
		from := row.Status
		if !from.CanBecome(to) || from == coupon.CampaignDraft && to == coupon.CampaignActive {
			return coupon.NewError(coupon.CodeInvalidTransition, string(from)+" cannot become "+string(to))
		}
		if from == to {
			return nil
		}
		return tx.Exec("UPDATE campaigns SET status = ?, version = version + 1, updated_at = ? WHERE id = ?",
			to, s.now(), row.ID).Error
	})
}

// change is one transaction that locks a campaign, lets f change what belongs to it, and returns it as f left it.
func (s *Store) change(
	ctx context.Context, doing, id string, f func(tx *gorm.DB, row *campaignRow) error,
) (coupon.Campaign, error) {
	var campaign coupon.Campaign
	err := s.transaction(ctx, doing, func(tx *gorm.DB) error {
		row, err := lockCampaign(tx, id)
		if err != nil {
			return err
		}
		if err := f(tx, row); err != nil {
			return err
		}
		if row, err = lockCampaign(tx, id); err != nil {
			return err
		}
		campaign, err = row.campaign()
		return err
	})
	if err != nil {
		return coupon.Campaign{}, err
	}
	return campaign, nil
}

// Standings is the confirm read: where the campaigns' epochs stand at an instant after the call began. One query, no
// transaction, so that it sees the newest commit. Unknown ids are absent.
func (s *Store) Standings(ctx context.Context, ids []string) (map[string]coupon.Standing, error) {
	if len(ids) == 0 {
		return map[string]coupon.Standing{}, nil
	}
	var rows []struct {
		Slug       string
		Epoch      int64
		EpochState coupon.EpochState
	}
	_, err := s.read(ctx, "read standings", &rows, "SELECT slug, epoch, epoch_state FROM campaigns WHERE slug IN ?", ids)
	if err != nil {
		return nil, err
	}
	standings := make(map[string]coupon.Standing, len(rows))
	for _, row := range rows {
		standings[row.Slug] = coupon.Standing{Epoch: row.Epoch, State: row.EpochState}
	}
	return standings, nil
}
