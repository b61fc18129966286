package mysqlstore

import (
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// selectCampaigns reads campaigns c, each with its current epoch e where it has one.
const selectCampaigns = `SELECT c.id, c.slug, c.name, c.limit_count, c.issued, c.hi, c.hi_wanted, c.lowering, c.next_serial,
	c.fence_wanted, c.status, c.epoch, c.epoch_state, c.epoch_since, c.mode, c.seal, c.per_user_limit, c.starts_at, c.ends_at,
	c.discount, c.validity, c.metadata, c.restock_on_cancel, c.stock_display, c.version, c.created_at, c.updated_at,
	COALESCE(e.lo, 0) AS lo, COALESCE(e.hi_max, 0) AS hi_max, COALESCE(e.base, 0) AS base
	FROM campaigns c LEFT JOIN campaign_epochs e ON e.campaign_id = c.id AND e.epoch = c.epoch`

type campaignRow struct {
	ID              int64
	Slug            string
	Name            string
	LimitCount      int64
	Issued          int64
	Hi              int64
	HiWanted        int64
	Lowering        int64
	NextSerial      int64
	FenceWanted     int64
	Status          coupon.CampaignStatus
	Epoch           int64
	EpochState      coupon.EpochState
	EpochSince      *time.Time
	Mode            coupon.Mode
	Seal            string
	PerUserLimit    int
	StartsAt        time.Time
	EndsAt          time.Time
	Discount        *string
	Validity        *string
	Metadata        *string
	RestockOnCancel bool
	StockDisplay    coupon.StockDisplay
	Version         int64
	CreatedAt       time.Time
	UpdatedAt       time.Time

	Lo    int64
	HiMax int64
	Base  int64
}

// columns are where those of selectCampaigns go, in its order.
func (r *campaignRow) columns() []any {
	return []any{
		&r.ID, &r.Slug, &r.Name, &r.LimitCount, &r.Issued, &r.Hi, &r.HiWanted, &r.Lowering, &r.NextSerial,
		&r.FenceWanted, &r.Status, &r.Epoch, &r.EpochState, &r.EpochSince, &r.Mode, &r.Seal, &r.PerUserLimit, &r.StartsAt, &r.EndsAt,
		&r.Discount, &r.Validity, &r.Metadata, &r.RestockOnCancel, &r.StockDisplay, &r.Version, &r.CreatedAt, &r.UpdatedAt,
		&r.Lo, &r.HiMax, &r.Base,
	}
}

// lockCampaign reads a campaign and holds its row until the transaction ends. It is the first statement of every
// transaction that changes what belongs to a campaign: lock order everywhere is campaign, then the rest.
func lockCampaign(tx *gorm.DB, slug string) (*campaignRow, error) {
	if !coupon.ValidCampaignID(slug) {
		return nil, coupon.NewError(coupon.CodeCampaignNotFound, slug)
	}
	var row campaignRow
	result := tx.Raw(selectCampaigns+" WHERE c.slug = ? FOR UPDATE", slug).Scan(&row)
	if result.Error != nil {
		return nil, result.Error
	}
	if result.RowsAffected == 0 {
		return nil, coupon.NewError(coupon.CodeCampaignNotFound, slug)
	}
	return &row, nil
}

func (r *campaignRow) campaign() (coupon.Campaign, error) {
	c := coupon.Campaign{
		ID: r.Slug, Name: r.Name, Limit: r.LimitCount, Issued: r.Issued, PerUserLimit: r.PerUserLimit, Status: r.Status,
		StartsAt: r.StartsAt, EndsAt: r.EndsAt, RestockOnCancel: r.RestockOnCancel, StockDisplay: r.StockDisplay,
		Epoch: r.Epoch, EpochState: r.EpochState, Mode: r.Mode, Lo: r.Lo, Base: r.Base, Hi: r.Hi, HiWanted: r.HiWanted,
		Seal: r.Seal, NextSerial: r.NextSerial, Lowering: r.Lowering, FenceWanted: r.FenceWanted,
		EpochSince: value(r.EpochSince), Version: r.Version, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	if r.Metadata != nil {
		c.Metadata = json.RawMessage(*r.Metadata)
	}
	if err := decodeJSON(r.Discount, &c.Discount); err != nil {
		return c, fmt.Errorf("discount of campaign %s: %w", r.Slug, err)
	}
	var err error
	c.Validity, err = r.validity()
	return c, err
}

func (r *campaignRow) validity() (coupon.Validity, error) {
	var v coupon.Validity
	if err := decodeJSON(r.Validity, &v); err != nil {
		return v, fmt.Errorf("validity of campaign %s: %w", r.Slug, err)
	}
	return v, nil
}

// offer is the part of a campaign that is kept as JSON; NULL where there is nothing.
type offer struct{ discount, validity, metadata *string }

func encodeOffer(c coupon.Campaign) (offer, error) {
	var o offer
	var err error
	if c.Discount != nil {
		if o.discount, err = encodeJSON(c.Discount); err != nil {
			return o, fmt.Errorf("encode discount: %w", err)
		}
	}
	if c.Validity != (coupon.Validity{}) {
		if o.validity, err = encodeJSON(c.Validity); err != nil {
			return o, fmt.Errorf("encode validity: %w", err)
		}
	}
	if c.Metadata != nil {
		text := string(c.Metadata)
		o.metadata = &text
	}
	return o, nil
}

func encodeJSON(v any) (*string, error) {
	raw, err := json.Marshal(v)
	text := string(raw)
	return &text, err
}

func decodeJSON(text *string, v any) error {
	if text == nil {
		return nil
	}
	return json.Unmarshal([]byte(*text), v)
}

func stockDisplay(d coupon.StockDisplay) coupon.StockDisplay {
	if d == "" {
		return coupon.StockExact
	}
	return d
}
