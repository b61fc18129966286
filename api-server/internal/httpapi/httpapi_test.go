package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/pkg/coupon"
)

// fake is the use case as functions.
type fake struct {
	apply func(coupon.Key) (apply.Answer, error)
	claim func(coupon.Key) (apply.Answer, error)
	level coupon.Level

	cancel func(coupon.Key, string) (coupon.Coupon, error)
}

var winter = coupon.Campaign{
	ID: "winter", Name: "Winter", Limit: 100, PerUserLimit: 2, Status: coupon.CampaignActive,
	StartsAt: time.Unix(0, 0), EndsAt: time.Now().Add(time.Hour), StockDisplay: coupon.StockExact, HiWanted: 100,
}

func (f *fake) Apply(_ context.Context, k coupon.Key) (apply.Answer, error) { return f.apply(k) }
func (f *fake) Claim(_ context.Context, k coupon.Key) (apply.Answer, error) { return f.claim(k) }
func (f *fake) Claims(_ context.Context, campaign, user string) ([]apply.Answer, error) {
	a, err := f.claim(coupon.Key{Campaign: campaign, User: user, N: 1})
	return []apply.Answer{a}, err
}

func (f *fake) Cancel(_ context.Context, k coupon.Key, reason string) (coupon.Coupon, coupon.Campaign, error) {
	cancelled, err := f.cancel(k, reason)
	return cancelled, winter, err
}

func (f *fake) Find(_ context.Context, id string) (*coupon.Campaign, error) {
	if id != winter.ID {
		return nil, coupon.NewError(coupon.CodeCampaignNotFound, "")
	}
	return &winter, nil
}

func (f *fake) Campaigns() []*coupon.Campaign              { return []*coupon.Campaign{&winter} }
func (f *fake) Granted(apply.Answer, time.Duration)        {}
func (f *fake) Refused(string, coupon.Code, time.Duration) {}
func granted(k coupon.Key) (apply.Answer, error)           { return answer(k, coupon.StatusAccepted, false), nil }

// Level knows one epoch, as a keeper does.
func (f *fake) Level(ref coupon.EpochRef) coupon.Level {
	if ref.Epoch != f.level.Epoch {
		return coupon.Level{}
	}
	return f.level
}

func answer(k coupon.Key, s coupon.ClaimStatus, replay bool) apply.Answer {
	return apply.Answer{
		Status: s, Replayed: replay,
		Claim: coupon.Claim{Key: k, Epoch: 1, Serial: 137, ClaimedAt: time.UnixMilli(1764558000021)},
	}
}

func newFake() *fake { return &fake{apply: granted, claim: granted} }

func serve(f *fake, auth Authenticator) http.Handler {
	return New(f, f, f, f, auth, f, slog.New(slog.DiscardHandler))
}

func send(t *testing.T, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if body == "" {
		request.Body, request.ContentLength = http.NoBody, 0
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response := httptest.NewRecorder()
	h.ServeHTTP(response, request)
	return response
}

func fields(t *testing.T, r *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal(r.Body.Bytes(), &m), r.Body.String())
	return m
}

const applyPath = "/v1/campaigns/winter/apply"

func TestApplyAnswers(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(f, Dev{})

	first := send(t, h, "POST", applyPath, "", "X-User-Id", "u-42", "X-Request-Id", "r-1")
	require.Equal(t, 202, first.Code)
	require.Equal(t, "/v1/campaigns/winter/claims/1", first.Header().Get("Location"))
	require.Equal(t, "r-1", first.Header().Get("X-Request-Id"))
	require.Empty(t, first.Header().Get("Idempotent-Replayed"))
	require.JSONEq(t, `{"object":"claim","campaign_id":"winter","user_id":"u-42","n":1,"serial":137,"status":"accepted",
		"claimed_at":"2025-12-01T03:00:00.021Z","issued_at":null,"coupon":null,"receipt":null}`, first.Body.String())

	f.apply = func(k coupon.Key) (apply.Answer, error) { return answer(k, coupon.StatusAccepted, true), nil }
	repeat := send(t, h, "POST", applyPath, `{"n":2}`, "X-User-Id", "u-42")
	require.Equal(t, 200, repeat.Code)
	require.Equal(t, "true", repeat.Header().Get("Idempotent-Replayed"))
	require.Equal(t, "/v1/campaigns/winter/claims/2", repeat.Header().Get("Location"))

	f.apply = func(k coupon.Key) (apply.Answer, error) { return answer(k, coupon.StatusPending, false), nil }
	pending := fields(t, send(t, h, "POST", applyPath, "", "X-User-Id", "u-42"))
	require.Nil(t, pending["serial"], "only a binding answer names the serial")
}

func TestIssuedClaimShowsItsCoupon(t *testing.T) {
	t.Parallel()
	f := newFake()
	expires := time.UnixMilli(1767150000000)
	f.claim = func(k coupon.Key) (apply.Answer, error) {
		a := answer(k, coupon.StatusIssued, false)
		a.Coupon = &coupon.Coupon{Claim: a.Claim, Code: "7K3M", Status: coupon.CouponActive, IssuedAt: time.UnixMilli(1764558000500), ExpiresAt: &expires}
		return a, nil
	}
	for _, path := range []string{"/v1/campaigns/winter/claims/1", "/v1/campaigns/winter/claims"} {
		response := send(t, serve(f, Dev{}), "GET", path, "", "X-User-Id", "u")
		require.Equal(t, 200, response.Code)
		require.Empty(t, response.Header().Get("Retry-After"), "an issued claim is final")
		require.True(t, json.Valid(response.Body.Bytes()))
		require.Contains(t, response.Body.String(), `"issued_at":"2025-12-01T03:00:00.500Z","coupon":{"code":"7K3M","status":"active","expires_at":"2025-12-31T03:00:00.000Z"}`)
	}
	f.claim = granted
	require.Equal(t, "1", send(t, serve(f, Dev{}), "GET", "/v1/campaigns/winter/claims/1", "", "X-User-Id", "u").Header().Get("Retry-After"))
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, method, path, body, user string
		status                         int
		code, pointer                  string
	}{
		{"malformed JSON", "POST", applyPath, `{"n":`, "u", 400, "malformed_request", ""},
		{"not an object", "POST", applyPath, `[1]`, "u", 400, "malformed_request", ""},
		{"null", "POST", applyPath, `null`, "u", 400, "malformed_request", ""},
		{"another case of the name", "POST", applyPath, `{"N":2}`, "u", 400, "malformed_request", "/N"},
		{"a name given twice", "POST", applyPath, `{"n":1,"n":2}`, "u", 400, "malformed_request", "/n"},
		{"wrong type", "POST", applyPath, `{"n":"2"}`, "u", 400, "malformed_request", "/n"},
		{"not whole", "POST", applyPath, `{"n":1.5}`, "u", 400, "malformed_request", "/n"},
		{"n below one", "POST", applyPath, `{"n":0}`, "u", 400, "malformed_request", "/n"},
		{"unknown field", "POST", applyPath, `{"user_id":"x"}`, "u", 400, "malformed_request", "/user_id"},
		{"unknown field with a slash", "POST", applyPath, `{"a/b~c":1}`, "u", 400, "malformed_request", "/a~1b~0c"},
		{"two values", "POST", applyPath, `{"n":1}{"n":2}`, "u", 400, "malformed_request", ""},
		{"body too large", "POST", applyPath, `{"n":1` + strings.Repeat(" ", maxBody) + `}`, "u", 413, "payload_too_large", ""},
		{"too large after the value", "POST", applyPath, `{"n":1}` + strings.Repeat(" ", maxBody), "u", 413, "payload_too_large", ""},
		{"bad campaign id", "POST", "/v1/campaigns/Winter_1/apply", "", "u", 400, "malformed_request", "/id"},
		{"no user", "POST", applyPath, "", "", 401, "unauthenticated", ""},
		{"bad user", "POST", applyPath, "", "a/b", 401, "unauthenticated", ""},
		{"user too long", "POST", applyPath, "", strings.Repeat("u", 129), 401, "unauthenticated", ""},
		{"wrong method", "GET", applyPath, "", "u", 405, "method_not_allowed", ""},
		{"unknown route", "GET", "/v2", "", "u", 404, "not_found", ""},
		{"trailing slash", "POST", applyPath + "/", "", "u", 404, "not_found", ""},
		{"operator route", "GET", "/admin/v1/campaigns", "", "u", 404, "not_found", ""},
		{"unknown campaign", "GET", "/v1/campaigns/spring", "", "u", 404, "campaign_not_found", ""},
		{"bad n of a cancel", "POST", "/v1/campaigns/winter/claims/0/cancel", "", "u", 400, "malformed_request", "/n"},
		{"unknown field of a cancel", "POST", "/v1/campaigns/winter/claims/1/cancel", `{"why":"x"}`, "u", 400, "malformed_request", "/why"},
		{"wrong type of a reason", "POST", "/v1/campaigns/winter/claims/1/cancel", `{"reason":1}`, "u", 400, "malformed_request", "/reason"},
		{"reason too long", "POST", "/v1/campaigns/winter/claims/1/cancel", `{"reason":"` + strings.Repeat("가", 501) + `"}`, "u", 422, "validation_failed", "/reason"},
		{"bad n in the path", "GET", "/v1/campaigns/winter/claims/x", "", "u", 400, "malformed_request", "/n"},
		{"bad cursor", "GET", "/v1/campaigns?cursor=%C3%A9", "", "u", 400, "malformed_request", "/cursor"},
		{"bad limit", "GET", "/v1/campaigns?limit=201", "", "u", 400, "malformed_request", "/limit"},
	}
	h := serve(newFake(), Dev{})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			response := send(t, h, c.method, c.path, c.body, "X-User-Id", c.user)
			require.Equal(t, c.status, response.Code, response.Body.String())
			require.Equal(t, "application/problem+json", response.Header().Get("Content-Type"))
			problem := fields(t, response)
			require.Equal(t, c.code, problem["code"])
			require.InEpsilon(t, c.status, problem["status"], 0)
			require.Equal(t, "/problems/"+c.code, problem["type"])
			require.NotEmpty(t, problem["title"])
			require.NotEmpty(t, problem["request_id"])
			if c.pointer != "" {
				require.Equal(t, c.pointer, problem["errors"].([]any)[0].(map[string]any)["pointer"])
			}
		})
	}
}

func TestRefusalsAreProblems(t *testing.T) {
	t.Parallel()
	starts := time.Now().Add(90 * time.Second)
	cases := []struct {
		err        error
		status     int
		retryAfter bool
	}{
		{coupon.NewError(coupon.CodeSoldOut, ""), 409, false},
		{&coupon.Error{Code: coupon.CodeCampaignNotStarted, StartsAt: starts}, 409, true},
		{coupon.NewError(coupon.CodeCampaignEnded, ""), 409, false},
		{coupon.NewError(coupon.CodeCampaignPaused, ""), 409, false},
		{coupon.NewError(coupon.CodePerUserLimit, ""), 422, false},
		{coupon.NewError(coupon.CodeClaimNotFinal, ""), 409, false},
		{coupon.NewError(coupon.CodeAlreadyRedeemed, ""), 409, false},
		{coupon.NewError(coupon.CodeLimitBelowClaimed, ""), 409, false},
		{coupon.NewError(coupon.CodeAdjusting, ""), 409, false},
		{coupon.NewError(coupon.CodeVersionMismatch, ""), 412, false},
		{coupon.NewError(CodePreconditionRequired, ""), 428, false},
		{coupon.NewError(coupon.CodeOverloaded, ""), 503, true},
		{coupon.Unavailable("claim", errors.New("dial tcp 10.0.0.1: secret")), 503, true},
		{errors.New("a secret of the house"), 500, false},
	}
	for _, c := range cases {
		f := newFake()
		f.apply = func(coupon.Key) (apply.Answer, error) { return apply.Answer{}, c.err }
		response := send(t, serve(f, Dev{}), "POST", applyPath, "", "X-User-Id", "u")
		require.Equal(t, c.status, response.Code)
		require.Equal(t, c.retryAfter, response.Header().Get("Retry-After") != "", response.Body.String())
		require.NotContains(t, response.Body.String(), "secret")
		require.True(t, json.Valid(response.Body.Bytes()))
	}
}

func TestAPanicIsAProblem(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.apply = func(coupon.Key) (apply.Answer, error) { panic("boom") }
	response := send(t, serve(f, Dev{}), "POST", applyPath, "", "X-User-Id", "u")
	require.Equal(t, 500, response.Code)
	require.Equal(t, "internal_error", fields(t, response)["code"])
}

type slowApplier struct{ *fake }

func (slowApplier) Apply(ctx context.Context, k coupon.Key) (apply.Answer, error) {
	select {
	case <-ctx.Done():
		return apply.Answer{}, ctx.Err()
	case <-time.After(time.Minute):
		return granted(k)
	}
}

// A client that shuts down its sending side still reads: it must not be told 200 with nothing.
func TestAHalfClosedClientIsNotTold200(t *testing.T) {
	t.Parallel()
	f := newFake()
	server := httptest.NewServer(New(slowApplier{f}, f, f, f, Dev{}, f, slog.New(slog.DiscardHandler)))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST /v1/campaigns/winter/apply HTTP/1.1\r\nHost: x\r\nX-User-Id: u\r\nContent-Length: 0\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
}

func TestTitlesFollowAcceptLanguage(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.apply = func(coupon.Key) (apply.Answer, error) {
		return apply.Answer{}, coupon.NewError(coupon.CodeSoldOut, "")
	}
	for header, title := range map[string]string{
		"": "All coupons are gone", "en-GB": "All coupons are gone", "fr": "All coupons are gone",
		"ko-KR,ko;q=0.9,en;q=0.8": "쿠폰이 모두 소진되었습니다", "fr, ko;q=0.9": "쿠폰이 모두 소진되었습니다",
	} {
		problem := fields(t, send(t, serve(f, Dev{}), "POST", applyPath, "", "X-User-Id", "u", "Accept-Language", header))
		require.Equal(t, title, problem["title"], header)
		require.Equal(t, "sold_out", problem["code"])
	}
}

func TestCampaignsAreShownAsTheirStockDisplayAllows(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := serve(f, Dev{})
	unknown := fields(t, send(t, h, "GET", "/v1/campaigns/winter", ""))
	require.Nil(t, unknown["remaining"], "Redis has not said how many are left")
	require.Equal(t, "open", unknown["availability"])

	f.level = coupon.Level{Known: true, Last: 100}
	soldOut := fields(t, send(t, h, "GET", "/v1/campaigns/winter", ""))
	require.Zero(t, soldOut["remaining"])
	require.Equal(t, "sold_out", soldOut["availability"])

	inSQL := winter
	inSQL.Mode, inSQL.EpochState, inSQL.NextSerial = coupon.ModeSQL, coupon.EpochActive, 98
	require.Equal(t, int64(3), *(&API{levels: f}).public(&inSQL, time.Now()).Remaining, "the record tells, not Redis")

	list := fields(t, send(t, h, "GET", "/v1/campaigns?limit=1", ""))
	require.Len(t, list["data"], 1)
	require.Equal(t, false, list["has_more"])
	require.Nil(t, list["next_cursor"])
	require.Empty(t, fields(t, send(t, h, "GET", "/v1/campaigns?cursor=winter", ""))["data"])
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", `a"b\c`, "\x00\n", "한글", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		require.NoError(t, json.Unmarshal(appendString(nil, s), &back))
		require.Equal(t, string([]rune(s)), back)
	})
}
