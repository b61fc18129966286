package adminapi

import (
	"encoding/json"
	"fmt"
	"time"

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
	ID              string                `json:"id"`
	Name            string                `json:"name"`
	Limit           *int64                `json:"limit"`
	StartsAt        *time.Time            `json:"starts_at"`
	EndsAt          *time.Time            `json:"ends_at"`
	PerUserLimit    *int                  `json:"per_user_limit"`
	Status          coupon.CampaignStatus `json:"status"`
	Eligibility     json.RawMessage       `json:"eligibility"`
	Discount        *coupon.Discount      `json:"discount"`
	Validity        *coupon.Validity      `json:"validity"`
	RestockOnCancel bool                  `json:"restock_on_cancel"`
	StockDisplay    coupon.StockDisplay   `json:"stock_display"`
	Metadata        json.RawMessage       `json:"metadata"`
}

// mistakes collects what is wrong with a wish, so that an operator sees all of it at once.
type mistakes []coupon.FieldError

func (m *mistakes) check(ok bool, pointer, code, detail string) {
	if !ok {
		*m = append(*m, coupon.FieldError{Pointer: pointer, Code: code, Detail: detail})
	}
}

// campaign returns the wish as a campaign, or an error that names every mistake.
func (w *campaignWish) campaign() (coupon.Campaign, error) {
	var m mistakes
	m.check(coupon.ValidCampaignID(w.ID), "/id", "invalid_id", "matches ^[a-z0-9][a-z0-9-]{0,62}$")
	m.check(w.Name != "" && len(w.Name) <= maxName, "/name", "invalid_length", fmt.Sprintf("is 1 to %d bytes long", maxName))
	m.check(w.Limit != nil && *w.Limit >= 1 && *w.Limit <= maxLimit, "/limit", "out_of_range", fmt.Sprintf("is required, 1 to %d", maxLimit))
	m.check(w.StartsAt != nil, "/starts_at", "required", "is required")
	m.check(w.EndsAt != nil, "/ends_at", "required", "is required")
	m.check(w.StartsAt == nil || w.EndsAt == nil || w.StartsAt.Before(*w.EndsAt), "/ends_at", "not_after_start", "is after starts_at")
	m.check(w.PerUserLimit == nil || *w.PerUserLimit >= 1 && *w.PerUserLimit <= maxPerUserLimit,
		"/per_user_limit", "out_of_range", fmt.Sprintf("is 1 to %d", maxPerUserLimit))
	m.check(w.Status == "" || w.Status == coupon.CampaignDraft || w.Status == coupon.CampaignActive, "/status", "invalid_value", "is draft or active")
	m.check(isNull(w.Eligibility), "/eligibility", "not_supported", "is not supported by this version: leave it out")
	m.check(len(w.Metadata) <= maxMetadata, "/metadata", "too_large", fmt.Sprintf("is at most %d bytes", maxMetadata))
	w.checkDisplay(&m)
	w.checkDiscount(&m)
	w.checkValidity(&m)
	if len(m) > 0 {
		return coupon.Campaign{}, &coupon.Error{Code: coupon.CodeValidationFailed, Fields: m}
	}
	return w.build(), nil
}

func (w *campaignWish) checkDisplay(m *mistakes) {
	switch w.StockDisplay {
	case "", coupon.StockExact, coupon.StockBand, coupon.StockHidden:
	default:
		m.check(false, "/stock_display", "invalid_value", "is exact, band or hidden")
	}
}

func (w *campaignWish) checkDiscount(m *mistakes) {
	d := w.Discount
	if d == nil {
		return
	}
	switch d.Type {
	case "amount":
		m.check(d.Value >= 1, "/discount/value", "out_of_range", "is at least 1")
		m.check(len(d.Currency) == 3, "/discount/currency", "required", "is a three-letter currency code")
	case "percent":
		m.check(d.Value >= 1 && d.Value <= 100, "/discount/value", "out_of_range", "is 1 to 100")
	default:
		m.check(false, "/discount/type", "invalid_value", "is amount or percent")
	}
	m.check(d.Max == nil || *d.Max >= 1, "/discount/max", "out_of_range", "is at least 1")
}

func (w *campaignWish) checkValidity(m *mistakes) {
	v := w.Validity
	if v == nil {
		return
	}
	m.check((v.Days == 0) != (v.Until == nil), "/validity", "invalid_value", "has either days or until")
	m.check(v.Days >= 0 && v.Days <= maxValidityDays, "/validity/days", "out_of_range", fmt.Sprintf("is 1 to %d", maxValidityDays))
}

func (w *campaignWish) build() coupon.Campaign {
	c := coupon.Campaign{
		ID: w.ID, Name: w.Name, Limit: *w.Limit, PerUserLimit: 1, Status: coupon.CampaignDraft,
		StartsAt: w.StartsAt.UTC(), EndsAt: w.EndsAt.UTC(),
		Discount: w.Discount, RestockOnCancel: w.RestockOnCancel, StockDisplay: coupon.StockExact,
		EpochState: coupon.EpochNone, Mode: coupon.ModeRedis,
	}
	if w.PerUserLimit != nil {
		c.PerUserLimit = *w.PerUserLimit
	}
	if w.StockDisplay != "" {
		c.StockDisplay = w.StockDisplay
	}
	if w.Validity != nil {
		c.Validity = *w.Validity
	}
	if !isNull(w.Metadata) {
		c.Metadata = w.Metadata
	}
	return c
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

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
		CreatedAt: httpapi.Time(c.CreatedAt), UpdatedAt: httpapi.Time(c.UpdatedAt),
	}
	if c.Validity != (coupon.Validity{}) {
		s.Validity = &c.Validity
	}
	return s
}
