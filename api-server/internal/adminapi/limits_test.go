package adminapi

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/api-server/internal/httpapi"
	"github.com/seonchak/seonchak/pkg/coupon"
)

const limitPath = "/campaigns/winter/limit-adjustments"

func TestLimitAdjustment(t *testing.T) {
	t.Parallel()
	f, h := setup()
	f.adjust = func(delta int64, _, _ string) (coupon.Campaign, error) {
		return coupon.Campaign{ID: "winter", Limit: 1000 + delta, Issued: 7, Version: 12}, nil
	}
	status, body := send(t, h, "POST", limitPath, `{"delta":500,"reason":"demand"}`, "X-User-Id", "ann")
	require.Equal(t, 201, status)
	require.Equal(t, map[string]any{
		"object": "adjustment", "campaign_id": "winter", "kind": "raise", "delta": 500., "reason": "demand", "actor": "ann",
		"limit": 1500., "issued": 7., "version": 12.,
	}, body)
	status, body = send(t, h, "POST", limitPath, `{"delta":-500,"reason":"supply"}`)
	require.Equal(t, 201, status)
	require.Equal(t, []any{"lower", -500., "", 500.}, []any{body["kind"], body["delta"], body["actor"], body["limit"]})
}

func TestLimitAdjustmentsNobodyCanMake(t *testing.T) {
	t.Parallel()
	f, h := setup()
	f.adjust = func(int64, string, string) (coupon.Campaign, error) { return coupon.Campaign{}, errors.New("asked") }
	for body, pointers := range map[string][]string{
		`{}`:                             {"/delta", "/reason"},
		`{"delta":0,"reason":"x"}`:       {"/delta"},
		`{"delta":1.5,"reason":"x"}`:     {"/delta"},
		`{"delta":1e3,"reason":"x"}`:     {"/delta"},
		`{"delta":"5","reason":"x"}`:     {"/delta"},
		`{"delta":null,"reason":"x"}`:    {"/delta"},
		`{"delta":1e30,"reason":"x"}`:    {"/delta"},
		`{"delta":-9223372036854775808}`: {"/delta", "/reason"},
		`{"delta":1000000001}`:           {"/delta", "/reason"},
		`{"delta":5,"reason":" "}`:       {"/reason"},
		`{"delta":5,"reason":"` + strings.Repeat("가", httpapi.MaxReason+1) + `"}`: {"/reason"},
	} {
		status, problem := send(t, h, "POST", limitPath, body)
		require.Equal(t, 422, status, body)
		require.Equal(t, "validation_failed", problem["code"])
		require.Equal(t, pointers, named(t, problem), body)
	}
	for body, pointer := range map[string]string{
		`{"delta":5,"reason":7}`:             "/reason",
		`{"delta":5,"reason":"x","why":"y"}`: "/why",
		`{"delta":5,"delta":6}`:              "/delta",
		``:                                   "",
	} {
		status, problem := send(t, h, "POST", limitPath, body)
		require.Equal(t, 400, status, body)
		require.Equal(t, []string{pointer}, named(t, problem), body)
	}
	status, _ := send(t, h, "POST", limitPath, `{"delta":5,"reason":"x"}`, "X-User-Id", "a/b")
	require.Equal(t, 401, status, "an actor is named as a user is")
}

func TestLimitRefusals(t *testing.T) {
	t.Parallel()
	for code, status := range map[coupon.Code]int{
		coupon.CodeLimitBelowClaimed: 409, coupon.CodeAdjusting: 409, coupon.CodeInvalidTransition: 409,
		coupon.CodeCampaignNotFound: 404, coupon.CodeUnavailable: 503,
	} {
		f, h := setup()
		f.adjust = func(int64, string, string) (coupon.Campaign, error) {
			return coupon.Campaign{}, coupon.NewError(code, "")
		}
		got, problem := send(t, h, "POST", limitPath, `{"delta":-1,"reason":"x"}`)
		require.Equal(t, status, got)
		require.Equal(t, string(code), problem["code"])
	}
}

func TestLedgerPages(t *testing.T) {
	t.Parallel()
	f, h := setup()
	f.stored = coupon.Campaign{ID: "winter"}
	f.ledger = []coupon.Adjustment{
		{ID: 3, Kind: coupon.AdjustmentRaise, Delta: 5, Reason: "demand", Actor: "ann", CreatedAt: time.UnixMilli(1764558000021)},
		{ID: 9, Kind: coupon.AdjustmentReturn, Delta: 1, Ref: "coupon:7"},
	}
	_, first := send(t, h, "GET", limitPath+"?limit=1", "")
	require.Equal(t, true, first["has_more"])
	require.Equal(t, "3", first["next_cursor"])
	require.Equal(t, map[string]any{
		"object": "adjustment", "id": 3., "kind": "raise", "delta": 5., "ref": nil, "reason": "demand", "actor": "ann",
		"created_at": "2025-12-01T03:00:00.021Z",
	}, first["data"].([]any)[0])
	_, second := send(t, h, "GET", limitPath+"?limit=1&cursor=3", "")
	require.Equal(t, false, second["has_more"])
	require.Equal(t, "coupon:7", second["data"].([]any)[0].(map[string]any)["ref"])

	for query, pointer := range map[string]string{"?cursor=x": "/cursor", "?cursor=0": "/cursor", "?limit=0": "/limit"} {
		status, problem := send(t, h, "GET", limitPath+query, "")
		require.Equal(t, 400, status)
		require.Equal(t, []string{pointer}, named(t, problem))
	}
	status, _ := send(t, h, "GET", "/campaigns/spring/limit-adjustments", "")
	require.Equal(t, 404, status, "and not an empty ledger")
}
