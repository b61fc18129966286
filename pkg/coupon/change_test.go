package coupon

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCampaignChange(t *testing.T) {
	t.Parallel()
	starts := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	full := Campaign{
		ID: "a", Name: "A", Limit: 10, StartsAt: starts, EndsAt: starts.Add(time.Hour), Discount: &Discount{Type: "amount", Value: 5},
		Validity: Validity{Days: 3}, StockDisplay: StockBand, Metadata: json.RawMessage(`{"x":1}`), Version: 7,
	}
	changed := func(f func(*Campaign)) Campaign {
		c := full
		f(&c)
		return c
	}
	later, null := starts.Add(30*time.Minute), json.RawMessage("null")
	cases := map[string]struct {
		change CampaignChange
		want   Campaign
	}{
		"nothing":     {CampaignChange{}, full},
		"name":        {CampaignChange{Name: new("B")}, changed(func(c *Campaign) { c.Name = "B" })},
		"start":       {CampaignChange{StartsAt: &later}, changed(func(c *Campaign) { c.StartsAt = later })},
		"end":         {CampaignChange{EndsAt: &later}, changed(func(c *Campaign) { c.EndsAt = later })},
		"discount":    {CampaignChange{Discount: &Discount{Type: "percent", Value: 9}}, changed(func(c *Campaign) { c.Discount = &Discount{Type: "percent", Value: 9} })},
		"no discount": {CampaignChange{Discount: &Discount{}}, changed(func(c *Campaign) { c.Discount = nil })},
		"validity":    {CampaignChange{Validity: &Validity{}}, changed(func(c *Campaign) { c.Validity = Validity{} })},
		"restock":     {CampaignChange{RestockOnCancel: new(true)}, changed(func(c *Campaign) { c.RestockOnCancel = true })},
		"display":     {CampaignChange{StockDisplay: new(StockHidden)}, changed(func(c *Campaign) { c.StockDisplay = StockHidden })},
		"any display": {CampaignChange{StockDisplay: new(StockDisplay(""))}, changed(func(c *Campaign) { c.StockDisplay = StockExact })},
		"metadata":    {CampaignChange{Metadata: &json.RawMessage{'7'}}, changed(func(c *Campaign) { c.Metadata = json.RawMessage("7") })},
		"no metadata": {CampaignChange{Metadata: &null}, changed(func(c *Campaign) { c.Metadata = nil })},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.change.Apply(full)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	_, err := CampaignChange{StartsAt: &full.EndsAt}.Apply(full)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, CodeValidationFailed, e.Code)
	require.Equal(t, "/ends_at", e.Fields[0].Pointer)
}
