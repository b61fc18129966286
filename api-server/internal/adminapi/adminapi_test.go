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
	update func(version int64, change coupon.CampaignChange) (coupon.Campaign, error)
	adjust func(delta int64, reason, actor string) (coupon.Campaign, error)
	stored coupon.Campaign // what the record holds, if it has an id
	ledger []coupon.Adjustment
	moved  []string
	stats  operate.Stats
}

func (f *fake) Update(_ context.Context, _ string, version int64, change coupon.CampaignChange) (coupon.Campaign, error) {
	return f.update(version, change)
}

func (f *fake) Rebuild(_ context.Context, id string) (coupon.Campaign, error) {
	return f.move("rebuild", id)
}

func (f *fake) Adjust(_ context.Context, _ string, delta int64, reason, actor string) (coupon.Campaign, error) {
	return f.adjust(delta, reason, actor)
}

func (f *fake) Adjustments(_ context.Context, _ string, after int64, limit int) ([]coupon.Adjustment, error) {
	rest := f.ledger
	for len(rest) > 0 && rest[0].ID <= after {
		rest = rest[1:]
	}
	return rest[:min(limit, len(rest))], nil
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

func (f *fake) Campaign(_ context.Context, id string) (coupon.Campaign, error) {
	if id == f.stored.ID {
		return f.stored, nil
	}
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
	return f, New(f, f, f, f, f, httpapi.Dev{}, slog.New(slog.DiscardHandler))
}

func send(t *testing.T, h http.Handler, method, path, body string, header ...string) (int, map[string]any) {
	t.Helper()
	response := exchange(t, h, method, path, body, header...)
	var m map[string]any
	require.NoError(t, json.Unmarshal(response.Body.Bytes(), &m), response.Body.String())
	return response.Code, m
}

func exchange(t *testing.T, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, "/admin/v1"+path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response := httptest.NewRecorder()
	h.ServeHTTP(response, request)
	return response
}

// named returns the pointers of a validation problem.
func named(t *testing.T, problem map[string]any) []string {
	t.Helper()
	var pointers []string
	for _, e := range problem["errors"].([]any) {
		pointers = append(pointers, e.(map[string]any)["pointer"].(string))
	}
	return pointers
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
		return named(t, problem)
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
	for body, pointer := range map[string]string{
		``:                                    "",
		`{"limit":"many"}`:                    "/limit",
		`{"name":5}`:                          "/name",
		`{"limits":1}`:                        "/limits",
		`{"discount":{"worth":1}}`:            "/discount/worth",
		`{"name":"W","starts_at":"tomorrow"}`: "/starts_at",
		`{"validity":{"until":"tomorrow"}}`:   "/validity",
		`{"validity":{"days":"x"}}`:           "/validity/days",
	} {
		status, problem := send(t, h, "POST", "/campaigns", body)
		require.Equal(t, 400, status, problem)
		require.Equal(t, []string{pointer}, named(t, problem))
	}
	status, _ := send(t, h, "POST", "/campaigns", `{"name":"`+strings.Repeat("x", maxBody)+`"}`)
	require.Equal(t, 413, status)
}

func TestMoves(t *testing.T) {
	t.Parallel()
	f, h := setup()
	for _, step := range []string{"activate", "pause", "resume", "close"} {
		status, _ := send(t, h, "POST", "/campaigns/winter/"+step, "")
		require.Equal(t, 200, status)
	}
	require.Equal(t, []string{"activate winter", "pause winter", "resume winter", "close winter"}, f.moved)
	status, _ := send(t, h, "POST", "/campaigns/winter/rebuild", "")
	require.Equal(t, 202, status)
	require.Equal(t, "rebuild winter", f.moved[4])
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

	f.stats.Totals.Rows, f.stats.Totals.Issued, f.stats.Totals.LastClaimedAt = 1000, 1000, time.UnixMilli(1764558000021)
	_, s = send(t, h, "GET", "/campaigns/winter/stats", "")
	require.Equal(t, "2025-12-01T03:00:00.021Z", s["sold_out_at"])

	f.stats.Level, f.stats.Backlog = coupon.Level{}, nil
	_, s = send(t, h, "GET", "/campaigns/winter/stats", "")
	require.Nil(t, s["claimed"], "Redis could not tell")
	require.Nil(t, s["consumer_lag"], "Kafka could not tell")

	f.stats.Totals.Issued = 999
	_, s = send(t, h, "GET", "/campaigns/winter/stats", "")
	require.Nil(t, s["sold_out_at"], "a place went back to stock")
}

func TestStatsOfACampaignWithoutRedis(t *testing.T) {
	t.Parallel()
	f, h := setup()
	f.stats = operate.Stats{
		Campaign: coupon.Campaign{
			ID: "winter", Limit: 1000, Status: coupon.CampaignPaused, Lo: 701, HiWanted: 1000, NextSerial: 901,
			Mode: coupon.ModeSQL, EpochState: coupon.EpochActive, Epoch: 3,
		},
		Level:  coupon.Level{Known: true, Last: 900},
		Totals: coupon.Totals{Rows: 895, LiveEvents: 4},
	}
	_, s := send(t, h, "GET", "/campaigns/winter/stats", "")
	for field, want := range map[string]float64{
		"claimed": 899, "pending": 0, "issued": 895, "in_flight": 0, "failed": 4, "remaining": 100, "epoch": 3,
	} {
		require.InDelta(t, want, s[field], 0, field)
	}
	require.Equal(t, []any{"paused", "active", "sql"}, []any{s["state"], s["epoch_state"], s["mode"]})

	f.stats.Campaign.EpochState, f.stats.Campaign.Mode, f.stats.Level = coupon.EpochLoading, coupon.ModeRedis, coupon.Level{}
	_, s = send(t, h, "GET", "/campaigns/winter/stats", "")
	require.Equal(t, []any{"paused", "loading", "redis"}, []any{s["state"], s["epoch_state"], s["mode"]})
	require.Nil(t, s["claimed"], "the keys that are loaded are in nobody's use")
	require.InDelta(t, 895, s["issued"], 0)
}
