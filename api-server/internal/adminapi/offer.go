package adminapi

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// offer is what an operator chooses of a campaign and may change later.
type offer struct {
	Name            string              `json:"name"`
	StartsAt        *time.Time          `json:"starts_at"`
	EndsAt          *time.Time          `json:"ends_at"`
	Discount        *coupon.Discount    `json:"discount"`
	Validity        *coupon.Validity    `json:"validity"`
	RestockOnCancel bool                `json:"restock_on_cancel"`
	StockDisplay    coupon.StockDisplay `json:"stock_display"`
	Metadata        json.RawMessage     `json:"metadata"`
}

// mistakes collects what is wrong with a body, so that an operator sees all of it at once.
type mistakes []coupon.FieldError

func (m *mistakes) check(ok bool, pointer, code, detail string) {
	if !ok {
		*m = append(*m, coupon.FieldError{Pointer: pointer, Code: code, Detail: detail})
	}
}

func (o *offer) checkName(m *mistakes) {
	m.check(o.Name != "" && len(o.Name) <= maxName, "/name", "invalid_length", fmt.Sprintf("is 1 to %d bytes long", maxName))
}

func (o *offer) checkWindow(m *mistakes) {
	m.check(o.StartsAt != nil, "/starts_at", "required", "is required")
	m.check(o.EndsAt != nil, "/ends_at", "required", "is required")
	m.check(o.StartsAt == nil || o.EndsAt == nil || o.StartsAt.Before(*o.EndsAt), "/ends_at", "not_after_start", "is after starts_at")
}

// checkTerms judges what is neither the name nor the window.
func (o *offer) checkTerms(m *mistakes) {
	m.check(len(o.Metadata) <= maxMetadata, "/metadata", "too_large", fmt.Sprintf("is at most %d bytes", maxMetadata))
	o.checkDisplay(m)
	o.checkDiscount(m)
	o.checkValidity(m)
}

func (o *offer) checkDisplay(m *mistakes) {
	switch o.StockDisplay {
	case "", coupon.StockExact, coupon.StockBand, coupon.StockHidden:
	default:
		m.check(false, "/stock_display", "invalid_value", "is exact, band or hidden")
	}
}

func (o *offer) checkDiscount(m *mistakes) {
	d := o.Discount
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

func (o *offer) checkValidity(m *mistakes) {
	v := o.Validity
	if v == nil {
		return
	}
	m.check((v.Days == 0) != (v.Until == nil), "/validity", "invalid_value", "has either days or until: the other one is null")
	m.check(v.Days >= 0 && v.Days <= maxValidityDays, "/validity/days", "out_of_range", fmt.Sprintf("is 1 to %d", maxValidityDays))
}

// apply puts a checked offer into a campaign.
func (o *offer) apply(c *coupon.Campaign) {
	c.Name, c.StartsAt, c.EndsAt = o.Name, o.StartsAt.UTC(), o.EndsAt.UTC()
	c.Discount, c.RestockOnCancel = o.Discount, o.RestockOnCancel
	c.StockDisplay, c.Validity, c.Metadata = coupon.StockExact, coupon.Validity{}, nil
	if o.StockDisplay != "" {
		c.StockDisplay = o.StockDisplay
	}
	if o.Validity != nil {
		c.Validity = *o.Validity
	}
	if !isNull(o.Metadata) {
		c.Metadata = o.Metadata
	}
}

// offerOf returns the offer that a campaign makes.
func offerOf(c *coupon.Campaign) offer {
	o := offer{
		Name: c.Name, StartsAt: &c.StartsAt, EndsAt: &c.EndsAt, Discount: c.Discount,
		RestockOnCancel: c.RestockOnCancel, StockDisplay: c.StockDisplay, Metadata: c.Metadata,
	}
	if c.Validity != (coupon.Validity{}) {
		o.Validity = &c.Validity
	}
	return o
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
