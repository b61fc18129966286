package adminapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/api-server/internal/httpapi"
	"github.com/seonchak/seonchak/api-server/internal/operate"
	"github.com/seonchak/seonchak/pkg/coupon"
)

// fake is the use cases as functions.
type fake struct {
	create func(coupon.Campaign, bool) (coupon.Campaign, error)
	moved  []string
	stats  operate.Stats
}

func (f *fake) Create(_ context.Context, c coupon.Campaign, active bool) (coupon.Campaign, error) {
	return f.create(c, active)
}

func (f *fake) move(step, id string) (coupon.Campaign, error) {
	f.moved = append(f.moved, step+" "+id)
	return coupon.Campaign{ID: id}, nil
}

func (f *fake) Activate(_ context.Context, id string) (coupon.Campaign, error) {
	return f.move("activate", id)
}

func (f *fake) Pause(_ context.Context, id string) (coupon.Campaign, error) {
	return f.move("pause", id)
}

func (f *fake) Resume(_ context.Context, id string) (coupon.Campaign, error) {
	return f.move("resume", id)
}

func (f *fake) Close(_ context.Context, id string) (coupon.Campaign, error) {
	return f.move("close", id)
}

func (f *fake) Campaign(context.Context, string) (coupon.Campaign, error) {
	return coupon.Campaign{}, coupon.NewError(coupon.CodeCampaignNotFound, "")
}

func (f *fake) Campaigns(_ context.Context, after string, limit int) ([]coupon.Campaign, error) {
	all := []coupon.Campaign{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	for len(all) > 0 && all[0].ID <= after {
		all = all[1:]
	}
	return all[:min(limit, len(all))], nil
}

func (f *fake) Of(context.Context, string, time.Time) (operate.Stats, error) { return f.stats, nil }
func (f *fake) Traffic(string) apply.Traffic {
	return apply.Traffic{Refused: map[string]int64{"sold_out": 3}, P99: 1500 * time.Microsecond}
}

func setup() (*fake, http.Handler) {
	f := &fake{create: func(c coupon.Campaign, _ bool) (coupon.Campaign, error) { return c, nil }}
	return f, New(f, f, f, f, httpapi.Dev{}, slog.New(slog.DiscardHandler))
}

func send(t *testing.T, h http.Handler, method, path, body string) (int, map[string]any) {
	t.Helper()
	response := httptest.NewRecorder()
	h.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), method, "/admin/v1"+path, strings.NewReader(body)))
	var m map[string]any
	require.NoError(t, json.Unmarshal(response.Body.Bytes(), &m), response.Body.String())
	return response.Code, m
}

const required = `"id":"winter","name":"Winter","limit":1000,"starts_at":"2026-12-01T03:00:00Z","ends_at":"2026-12-02T03:00:00+09:00"`

func TestCreate(t *testing.T) {
	t.Parallel()
	f, h := setup()
	var created coupon.Campaign
	var activated bool
	f.create = func(c coupon.Campaign, active bool) (coupon.Campaign, error) {
		created, activated = c, active
		return c, nil
	}
	status, body := send(t, h, "POST", "/campaigns", `{`+required+`}`)
	require.Equal(t, 201, status, body)
	require.False(t, activated)
	require.Equal(t, 1, created.PerUserLimit)
	require.Equal(t, coupon.StockExact, created.StockDisplay)
	require.Equal(t, coupon.CampaignDraft, created.Status)
	require.Equal(t, "2026-12-01T18:00:00.000Z", body["ends_at"])

	status, _ = send(t, h, "POST", "/campaigns", `{`+required+`,"status":"active","per_user_limit":3,"eligibility":null,
		"discount":{"type":"amount","value":5000,"currency":"KRW"},"validity":{"days":30},"metadata":{"team":"a"}}`)
	require.Equal(t, 201, status)
	require.True(t, activated)
	require.Equal(t, coupon.CampaignDraft, created.Status, "it becomes active only by being opened")
	require.Equal(t, 3, created.PerUserLimit)
	require.Equal(t, 30, created.Validity.Days)
	require.JSONEq(t, `{"team":"a"}`, string(created.Metadata))
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, h := setup()
	pointers := func(body string) []string {
		status, problem := send(t, h, "POST", "/campaigns", body)
		require.Equal(t, 422, status, problem)
		require.Equal(t, "validation_failed", problem["code"])
		var named []string
		for _, e := range problem["errors"].([]any) {
			named = append(named, e.(map[string]any)["pointer"].(string))
		}
		return named
	}
	require.Equal(t, []string{"/id", "/name", "/limit", "/starts_at", "/ends_at"}, pointers(`{}`))
	require.Equal(t, []string{"/per_user_limit", "/status", "/eligibility", "/stock_display", "/discount/type", "/validity"},
		pointers(`{`+required+`,"per_user_limit":0,"status":"closed","eligibility":{"x":1},"stock_display":"loud","discount":{"type":"gift"},"validity":{}}`))
	require.Equal(t, []string{"/limit", "/ends_at"},
		pointers(`{"id":"w","name":"W","limit":0,"starts_at":"2026-12-02T00:00:00Z","ends_at":"2026-12-01T00:00:00Z"}`))
}

func TestBodiesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	_, h := setup()
	for body, want := range map[string]int{
		``:                         400,
		`{"limit":"many"}`:         400,
		`{"limits":1}`:             400,
		`{"starts_at":"tomorrow"}`: 400,
		`{"name":"` + strings.Repeat("x", maxBody) + `"}`: 413,
	} {
		status, problem := send(t, h, "POST", "/campaigns", body)
		require.Equal(t, want, status, problem)
	}
}

func TestMoves(t *testing.T) {
	t.Parallel()
	f, h := setup()
	for _, step := range []string{"activate", "pause", "resume", "close"} {
		status, _ := send(t, h, "POST", "/campaigns/winter/"+step, "")
		require.Equal(t, 200, status)
	}
	require.Equal(t, []string{"activate winter", "pause winter", "resume winter", "close winter"}, f.moved)
	status, problem := send(t, h, "POST", "/campaigns/Winter!/pause", "")
	require.Equal(t, 400, status, problem)
	status, problem = send(t, h, "GET", "/campaigns/spring", "")
	require.Equal(t, 404, status)
	require.Equal(t, "campaign_not_found", problem["code"])
}

func TestListPages(t *testing.T) {
	t.Parallel()
	_, h := setup()
	_, first := send(t, h, "GET", "/campaigns?limit=2", "")
	require.Len(t, first["data"], 2)
	require.Equal(t, true, first["has_more"])
	require.Equal(t, "b", first["next_cursor"])
	_, second := send(t, h, "GET", "/campaigns?limit=2&cursor=b", "")
	require.Len(t, second["data"], 1)
	require.Equal(t, false, second["has_more"])
	require.Nil(t, second["next_cursor"])
}

func TestStats(t *testing.T) {
	t.Parallel()
	f, h := setup()
	lag := int64(2)
	f.stats = operate.Stats{
		Campaign: coupon.Campaign{ID: "winter", Limit: 1000, Status: coupon.CampaignActive, Lo: 1, HiWanted: 1000, EndsAt: time.Unix(10, 0)},
		AsOf:     time.Unix(5, 0), Level: coupon.Level{Known: true, Last: 1000, Pending: 1}, Backlog: &lag,
		Totals: coupon.Totals{Rows: 997, LiveEvents: 1, Failed: map[coupon.FailureStatus]int64{coupon.FailureParked: 1, coupon.FailureDead: 9}},
	}
	_, s := send(t, h, "GET", "/campaigns/winter/stats", "")
	for field, want := range map[string]float64{
		"limit": 1000, "claimed": 1000, "pending": 1, "issued": 997, "in_flight": 2, "failed": 1, "remaining": 0, "consumer_lag": 2,
	} {
		require.InDelta(t, want, s[field], 0, field)
	}
	require.Equal(t, "open", s["state"])
	require.Nil(t, s["sold_out_at"], "three of its coupons are not rows yet")

	f.stats.Totals.Rows, f.stats.Totals.LastClaimedAt = 1000, time.UnixMilli(1764558000021)
	_, s = send(t, h, "GET", "/campaigns/winter/stats", "")
	require.Equal(t, "2025-12-01T03:00:00.021Z", s["sold_out_at"])

	f.stats.Level, f.stats.Backlog = coupon.Level{}, nil
	_, s = send(t, h, "GET", "/campaigns/winter/stats", "")
	require.Nil(t, s["claimed"], "Redis could not tell")
	require.Nil(t, s["consumer_lag"], "Kafka could not tell")
}
