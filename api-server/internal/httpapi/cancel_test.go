package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/pkg/coupon"
)

const cancelPath = "/v1/campaigns/winter/claims/2/cancel"

func TestCancel(t *testing.T) {
	t.Parallel()
	f := newFake()
	var asked []string
	f.cancel = func(k coupon.Key, reason string) (coupon.Coupon, error) {
		asked = append(asked, k.User+" "+reason)
		claim := coupon.Claim{Key: k, Serial: 7, ClaimedAt: time.UnixMilli(1764558000021)}
		return coupon.Coupon{Claim: claim, Code: "7K3M", Status: coupon.CouponCancelled, IssuedAt: time.UnixMilli(1764558000500)}, nil
	}
	h := serve(f, Dev{})
	for range 2 {
		response := send(t, h, "POST", cancelPath, `{"reason":"too late"}`, "X-User-Id", "u-42")
		require.Equal(t, 200, response.Code, "a repeat too")
		require.JSONEq(t, `{"object":"claim","campaign_id":"winter","user_id":"u-42","n":2,"serial":7,"status":"issued",
			"claimed_at":"2025-12-01T03:00:00.021Z","issued_at":"2025-12-01T03:00:00.500Z",
			"coupon":{"code":"7K3M","status":"cancelled","expires_at":null},"receipt":null}`, response.Body.String())
	}
	require.Equal(t, 200, send(t, h, "POST", cancelPath, "", "X-User-Id", "u").Code, "a user owes no reason")
	require.Equal(t, 200, send(t, h, "POST", cancelPath, `{"reason":"`+strings.Repeat("가", MaxReason)+`"}`, "X-User-Id", "u").Code)
	require.Equal(t, []string{"u-42 too late", "u-42 too late", "u "}, asked[:3])
	require.Equal(t, 401, send(t, h, "POST", cancelPath, "").Code)
}

// locked is a record whose campaign row another holds.
type locked struct{ *fake }

func (locked) Cancel(ctx context.Context, _ coupon.Key, _ string) (coupon.Coupon, coupon.Campaign, error) {
	<-ctx.Done()
	return coupon.Coupon{}, coupon.Campaign{}, coupon.Unavailable("cancel", ctx.Err())
}

func TestACancelIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		began := time.Now()
		h := New(f, locked{f}, f, f, Dev{}, f, slog.New(slog.DiscardHandler))
		require.Equal(t, 503, send(t, h, "POST", cancelPath, "", "X-User-Id", "u").Code)
		require.Less(t, time.Since(began), 2*time.Second)
	})
}

func TestCancelRefusals(t *testing.T) {
	t.Parallel()
	noRow := coupon.NewError(coupon.CodeClaimNotFound, "")
	held := func(s coupon.ClaimStatus) func(coupon.Key) (apply.Answer, error) {
		return func(k coupon.Key) (apply.Answer, error) { return answer(k, s, false), nil }
	}
	fails := func(err error) func(coupon.Key) (apply.Answer, error) {
		return func(coupon.Key) (apply.Answer, error) { return apply.Answer{}, err }
	}
	cases := map[string]struct {
		cancel error
		claim  func(coupon.Key) (apply.Answer, error)
		status int
		code   string
	}{
		"accepted":          {noRow, held(coupon.StatusAccepted), 409, "claim_not_final"},
		"pending":           {noRow, held(coupon.StatusPending), 409, "claim_not_final"},
		"parked":            {noRow, held(coupon.StatusFailed), 409, "claim_not_final"},
		"issued just now":   {noRow, held(coupon.StatusIssued), 409, "claim_not_final"},
		"nobody knows it":   {noRow, fails(noRow), 404, "claim_not_found"},
		"Redis cannot tell": {noRow, fails(coupon.Unavailable("held", errors.New("away"))), 503, "issuance_unavailable"},
		"redeemed":          {coupon.NewError(coupon.CodeAlreadyRedeemed, ""), nil, 409, "coupon_already_redeemed"},
		"no campaign":       {coupon.NewError(coupon.CodeCampaignNotFound, ""), nil, 404, "campaign_not_found"},
		"MySQL away":        {coupon.Unavailable("cancel", errors.New("away")), nil, 503, "issuance_unavailable"},
		"too slow":          {context.DeadlineExceeded, nil, 503, "issuance_unavailable"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.claim = c.claim
			f.cancel = func(coupon.Key, string) (coupon.Coupon, error) { return coupon.Coupon{}, c.cancel }
			response := send(t, serve(f, Dev{}), "POST", cancelPath, "", "X-User-Id", "u")
			require.Equal(t, c.status, response.Code, response.Body.String())
			require.Equal(t, c.code, fields(t, response)["code"])
		})
	}
}
