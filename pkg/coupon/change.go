package coupon

import (
	"encoding/json"
	"time"
)

// CampaignChange is what an operator changes of a campaign after its creation. What is nil stays as it is.
type CampaignChange struct {
	Name            *string
	StartsAt        *time.Time
	EndsAt          *time.Time
	Discount        *Discount        // to the zero value: the coupon is worth nothing by itself
	Validity        *Validity        // of coupons issued from now on; to the zero value: for ever
	RestockOnCancel *bool            // of cancellations from now on
	StockDisplay    *StockDisplay    // to the zero value: exact
	Metadata        *json.RawMessage // to an empty value or null: none
}

// Apply returns c changed. CodeValidationFailed when its window would end before it begins.
func (ch CampaignChange) Apply(c Campaign) (Campaign, error) {
	set(&c.Name, ch.Name)
	set(&c.StartsAt, ch.StartsAt)
	set(&c.EndsAt, ch.EndsAt)
	set(&c.Validity, ch.Validity)
	set(&c.RestockOnCancel, ch.RestockOnCancel)
	set(&c.StockDisplay, ch.StockDisplay)
	set(&c.Metadata, ch.Metadata)
	if c.StockDisplay == "" {
		c.StockDisplay = StockExact
	}
	if len(c.Metadata) == 0 || string(c.Metadata) == "null" {
		c.Metadata = nil
	}
	if ch.Discount != nil {
		c.Discount = ch.Discount
	}
	if c.Discount != nil && *c.Discount == (Discount{}) {
		c.Discount = nil
	}
	if !c.StartsAt.Before(c.EndsAt) {
		return Campaign{}, &Error{Code: CodeValidationFailed, Fields: []FieldError{
			{Pointer: "/ends_at", Code: "not_after_start", Detail: "is after starts_at"},
		}}
	}
	return c, nil
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}
