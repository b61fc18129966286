package adminapi

import (
	"encoding/json"
	"fmt"

	"github.com/seonchak/seonchak/api-server/internal/httpapi"
	"github.com/seonchak/seonchak/pkg/coupon"
)

// Bounds of a campaign's numbers.
const (
	maxName         = 200
	maxLimit        = 1_000_000_000
	maxPerUserLimit = 100
	maxValidityDays = 3650
	maxMetadata     = 16 << 10
)

// campaignWish is the body of a create request.
type campaignWish struct {
	ID           string                `json:"id"`
	Limit        *int64                `json:"limit"`
	PerUserLimit *int                  `json:"per_user_limit"`
	Status       coupon.CampaignStatus `json:"status"`
	Eligibility  json.RawMessage       `json:"eligibility"`
	offer
}

// campaign returns the wish as a campaign, or an error that names every mistake.
func (w *campaignWish) campaign() (coupon.Campaign, error) {
	var m mistakes
	m.check(coupon.ValidCampaignID(w.ID), "/id", "invalid_id", "matches ^[a-z0-9][a-z0-9-]{0,62}$")
	w.checkName(&m)
	m.check(w.Limit != nil && *w.Limit >= 1 && *w.Limit <= maxLimit, "/limit", "out_of_range", fmt.Sprintf("is required, 1 to %d", maxLimit))
	w.checkWindow(&m)
	m.check(w.PerUserLimit == nil || *w.PerUserLimit >= 1 && *w.PerUserLimit <= maxPerUserLimit,
		"/per_user_limit", "out_of_range", fmt.Sprintf("is 1 to %d", maxPerUserLimit))
	m.check(w.Status == "" || w.Status == coupon.CampaignDraft || w.Status == coupon.CampaignActive, "/status", "invalid_value", "is draft or active")
	m.check(isNull(w.Eligibility), "/eligibility", "not_supported", "is not supported by this version: leave it out")
	w.checkTerms(&m)
	if len(m) > 0 {
		return coupon.Campaign{}, httpapi.Invalid(m...)
	}
	return w.build(), nil
}

func (w *campaignWish) build() coupon.Campaign {
	c := coupon.Campaign{
		ID: w.ID, Limit: *w.Limit, PerUserLimit: 1, Status: coupon.CampaignDraft,
		EpochState: coupon.EpochNone, Mode: coupon.ModeRedis,
	}
	w.apply(&c)
	if w.PerUserLimit != nil {
		c.PerUserLimit = *w.PerUserLimit
	}
	return c
}

// campaignShown is a campaign as operators see it.
type campaignShown struct {
	Object          string                `json:"object"`
	ID              string                `json:"id"`
	Name            string                `json:"name"`
	Limit           int64                 `json:"limit"`
	Issued          int64                 `json:"issued"`
	Status          coupon.CampaignStatus `json:"status"`
	StartsAt        httpapi.Time          `json:"starts_at"`
	EndsAt          httpapi.Time          `json:"ends_at"`
	PerUserLimit    int                   `json:"per_user_limit"`
	Discount        *coupon.Discount      `json:"discount"`
	Validity        *coupon.Validity      `json:"validity"`
	RestockOnCancel bool                  `json:"restock_on_cancel"`
	StockDisplay    coupon.StockDisplay   `json:"stock_display"`
	Metadata        json.RawMessage       `json:"metadata"`
	Epoch           int64                 `json:"epoch"`
	EpochState      coupon.EpochState     `json:"epoch_state"`
	Mode            coupon.Mode           `json:"mode"`
	Lowering        int64                 `json:"lowering"`       // places an open lowering of the limit asks for
	RebuildWanted   bool                  `json:"rebuild_wanted"` // the warden has yet to begin it
	Version         int64                 `json:"version"`
	CreatedAt       httpapi.Time          `json:"created_at"`
	UpdatedAt       httpapi.Time          `json:"updated_at"`
}

func shown(c coupon.Campaign) campaignShown {
	s := campaignShown{
		Object: "campaign", ID: c.ID, Name: c.Name, Limit: c.Limit, Issued: c.Issued, Status: c.Status,
		StartsAt: httpapi.Time(c.StartsAt), EndsAt: httpapi.Time(c.EndsAt), PerUserLimit: c.PerUserLimit,
		Discount: c.Discount, RestockOnCancel: c.RestockOnCancel, StockDisplay: c.StockDisplay, Metadata: c.Metadata,
		Epoch: c.Epoch, EpochState: c.EpochState, Mode: c.Mode, Version: c.Version,
		Lowering: c.Lowering, RebuildWanted: c.Epoch > 0 && c.FenceWanted == c.Epoch,
		CreatedAt: httpapi.Time(c.CreatedAt), UpdatedAt: httpapi.Time(c.UpdatedAt),
	}
	if c.Validity != (coupon.Validity{}) {
		s.Validity = &c.Validity
	}
	return s
}
