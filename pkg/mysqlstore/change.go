package mysqlstore

import (
	"context"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// UpdateCampaign changes a campaign that is still at the version given, and returns it with the next one. A changed window
// reaches Redis with the next push of the document. CodeVersionMismatch when somebody changed it meanwhile: read it again;
// CodeValidationFailed when its window would end before it begins.
func (s *Store) UpdateCampaign(
	ctx context.Context, id string, version int64, change coupon.CampaignChange,
) (coupon.Campaign, error) {
	return s.change(ctx, "change campaign", id, func(tx *gorm.DB, row *campaignRow) error {
		if row.Version != version {
			return coupon.NewError(coupon.CodeVersionMismatch, "the campaign was changed meanwhile")
		}
		campaign, err := row.campaign()
		if err != nil {
			return err
		}
		if campaign, err = change.Apply(campaign); err != nil {
			return err
		}
		return s.saveOffer(tx, row.ID, campaign)
	})
}

func (s *Store) saveOffer(tx *gorm.DB, id int64, c coupon.Campaign) error {
	offer, err := encodeOffer(c)
	if err != nil {
		return err
	}
	return tx.Exec(`UPDATE campaigns SET name = ?, starts_at = ?, ends_at = ?, discount = ?, validity = ?, metadata = ?,
		restock_on_cancel = ?, stock_display = ?, version = version + 1, updated_at = ? WHERE id = ?`,
		c.Name, c.StartsAt, c.EndsAt, offer.discount, offer.validity, offer.metadata, c.RestockOnCancel,
		stockDisplay(c.StockDisplay), s.now(), id).Error
}
