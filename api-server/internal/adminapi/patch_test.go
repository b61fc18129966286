package adminapi

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// stored is a campaign of version 7 with every field of an offer set.
func stored() coupon.Campaign {
	most := int64(9000)
	return coupon.Campaign{
		ID: "winter", Name: "Winter", Limit: 100, PerUserLimit: 1, Status: coupon.CampaignActive, Version: 7,
		StartsAt: time.Date(2026, 12, 1, 3, 0, 0, 123456000, time.UTC), EndsAt: time.Date(2026, 12, 2, 3, 0, 0, 0, time.UTC),
		Discount: &coupon.Discount{Type: "amount", Value: 5000, Max: &most, Currency: "KRW"},
		Validity: coupon.Validity{Days: 30}, RestockOnCancel: true, StockDisplay: coupon.StockBand,
		Metadata: json.RawMessage(`{"team":"a","n":12345678901234567890}`),
	}
}

func setupPatch(t *testing.T) (*fake, func(body, match string) (int, map[string]any)) {
	f, h := setup()
	f.stored = stored()
	f.update = func(version int64, change coupon.CampaignChange) (coupon.Campaign, error) {
		require.Equal(t, int64(7), version)
		changed, err := change.Apply(f.stored)
		changed.Version++
		return changed, err
	}
	return f, func(body, match string) (int, map[string]any) {
		return send(t, h, "PATCH", "/campaigns/winter", body, "If-Match", match)
	}
}

func TestAPatchChangesWhatItNames(t *testing.T) {
	t.Parallel()
	cases := []struct {
		body string
		want func(c *coupon.Campaign)
	}{
		{`{}`, func(*coupon.Campaign) {}},
		{`{"name":"Spring"}`, func(c *coupon.Campaign) { c.Name = "Spring" }},
		{`{"ends_at":"2026-12-03T12:00:00+09:00"}`, func(c *coupon.Campaign) { c.EndsAt = time.Date(2026, 12, 3, 3, 0, 0, 0, time.UTC) }},
		{`{"discount":null}`, func(c *coupon.Campaign) { c.Discount = nil }},
		{`{"discount":{"value":7000,"max":null}}`, func(c *coupon.Campaign) { c.Discount.Value, c.Discount.Max = 7000, nil }},
		{`{"validity":null}`, func(c *coupon.Campaign) { c.Validity = coupon.Validity{} }},
		{`{"validity":{"days":null,"until":"2027-01-01T00:00:00Z"}}`, func(c *coupon.Campaign) {
			until := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
			c.Validity = coupon.Validity{Until: &until}
		}},
		{`{"restock_on_cancel":false}`, func(c *coupon.Campaign) { c.RestockOnCancel = false }},
		{`{"stock_display":"hidden"}`, func(c *coupon.Campaign) { c.StockDisplay = coupon.StockHidden }},
		{`{"stock_display":null}`, func(c *coupon.Campaign) { c.StockDisplay = coupon.StockExact }},
		{`{"metadata":null}`, func(c *coupon.Campaign) { c.Metadata = nil }},
		{`{"metadata":{"team":null,"a":{"b":null,"c":1}}}`, func(c *coupon.Campaign) {
			c.Metadata = json.RawMessage(`{"a":{"c":1},"n":12345678901234567890}`)
		}},
		{`{"metadata":[1]}`, func(c *coupon.Campaign) { c.Metadata = json.RawMessage(`[1]`) }},
	}
	for _, c := range cases {
		t.Run(c.body, func(t *testing.T) {
			t.Parallel()
			f, patch := setupPatch(t)
			var changed coupon.Campaign
			record := f.update
			f.update = func(version int64, change coupon.CampaignChange) (coupon.Campaign, error) {
				got, err := record(version, change)
				changed = got
				return got, err
			}
			status, body := patch(c.body, `"7"`)
			require.Equal(t, 200, status, body)
			want := stored()
			c.want(&want)
			want.Version = 8
			require.Equal(t, want, changed)
		})
	}
}

// What a patch does not name is not in the change: it cannot undo what it did not see.
func TestAChangeHasNoMoreThanThePatch(t *testing.T) {
	t.Parallel()
	f, patch := setupPatch(t)
	f.update = func(_ int64, change coupon.CampaignChange) (coupon.Campaign, error) {
		name := "Spring"
		require.Equal(t, coupon.CampaignChange{Name: &name}, change)
		return f.stored, nil
	}
	status, _ := patch(`{"name":"Spring"}`, `"7"`)
	require.Equal(t, 200, status)
}

func TestAPatchIsForOneVersion(t *testing.T) {
	t.Parallel()
	f, patch := setupPatch(t)
	for match, want := range map[string]int{
		``: 428, `"6"`: 412, `7`: 412, `W/"7"`: 412, `"6", "8"`: 412, `"7"`: 200, `"6", "7"`: 200, `*`: 200,
	} {
		status, problem := patch(`{"name":"Spring"}`, match)
		require.Equal(t, want, status, "%s: %v", match, problem)
		require.Equal(t, map[int]any{428: "precondition_required", 412: "precondition_failed", 200: nil}[want], problem["code"])
	}
	f.update = func(int64, coupon.CampaignChange) (coupon.Campaign, error) {
		return coupon.Campaign{}, coupon.NewError(coupon.CodeVersionMismatch, "")
	}
	status, _ := patch(`{}`, `"7"`)
	require.Equal(t, 412, status, "it was changed between the look and the change")
	f.update = func(int64, coupon.CampaignChange) (coupon.Campaign, error) {
		return coupon.Campaign{}, coupon.Unavailable("push", nil)
	}
	status, _ = patch(`{}`, `"7"`)
	require.Equal(t, 503, status)
	f.stored.ID = "spring"
	status, _ = patch(`{}`, `"7"`)
	require.Equal(t, 404, status)
}

func TestPatchesNobodyCanMake(t *testing.T) {
	t.Parallel()
	f, patch := setupPatch(t)
	f.update = nil // never asked
	cases := map[string]struct {
		status   int
		pointers []string
	}{
		`{"limit":5,"name":"x","per_user_limit":2,"id":"y","status":"paused","eligibility":{}}`: {422, []string{"/limit", "/per_user_limit", "/id", "/status", "/eligibility"}},
		`{"version":8,"Name":"x","a/b":1}`:                    {422, []string{"/version", "/Name", "/a~1b"}},
		`{"name":null,"starts_at":null,"ends_at":null}`:       {422, []string{"/name", "/starts_at", "/ends_at"}},
		`{"ends_at":"2026-12-01T03:00:00Z"}`:                  {422, []string{"/ends_at"}},
		`{"discount":{"type":"percent"}}`:                     {422, []string{"/discount/value"}},
		`{"validity":{"until":"2027-01-01T00:00:00Z"}}`:       {422, []string{"/validity"}},
		`{"stock_display":"loud","validity":{"days":999999}}`: {422, []string{"/stock_display", "/validity/days"}},
		`{"name":5}`:                     {400, []string{"/name"}},
		`{"restock_on_cancel":"yes"}`:    {400, []string{"/restock_on_cancel"}},
		`{"ends_at":"tomorrow"}`:         {400, []string{"/ends_at"}},
		`{"discount":{"worth":1}}`:       {400, []string{"/discount/worth"}},
		`{"name":"a","name":"b"}`:        {400, []string{"/name"}},
		`[{"op":"remove"}]`:              {400, []string{""}},
		`{"name":`:                       {400, []string{""}},
		``:                               {400, []string{""}},
		`{"discount":{"value":1.5}}`:     {400, []string{"/discount/value"}},
		`{"discount":{"value":1e3}}`:     {400, []string{"/discount/value"}},
		`{"validity":{"days":"thirty"}}`: {400, []string{"/validity/days"}},
	}
	for body, want := range cases {
		status, problem := patch(body, `"7"`)
		require.Equal(t, want.status, status, "%s: %v", body, problem)
		require.Equal(t, want.pointers, named(t, problem), body)
	}
	_, problem := patch(`{"limit":5}`, `"7"`)
	require.Contains(t, problem["errors"].([]any)[0].(map[string]any)["detail"], "limit-adjustments")
}

func TestAnswersCarryTheVersion(t *testing.T) {
	t.Parallel()
	f, h := setup()
	f.stored = stored()
	f.create = func(coupon.Campaign, bool) (coupon.Campaign, error) { return f.stored, nil }
	require.Equal(t, `"7"`, exchange(t, h, "GET", "/campaigns/winter", "").Header().Get("ETag"))
	require.Equal(t, `"7"`, exchange(t, h, "POST", "/campaigns", `{`+required+`}`).Header().Get("ETag"))
	require.Equal(t, `"0"`, exchange(t, h, "POST", "/campaigns/winter/pause", "").Header().Get("ETag"))
}
