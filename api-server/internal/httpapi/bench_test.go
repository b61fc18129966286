package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/pkg/coupon"
)

// sink is a response writer that keeps nothing but the status, so that what is measured is the handler.
type sink struct {
	header http.Header
	status int
	body   []byte
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { s.body = append(s.body[:0], b...); return len(b), nil }

// call is one apply at a handler of its own.
type call struct {
	name    string
	handler http.Handler
	headers map[string]string
	status  int
	allocs  float64 // at most
}

// calls are the three answers of nearly all applies, by each way to say who asks.
func calls(tb testing.TB) []call {
	tb.Helper()
	dev := map[string]string{"X-User-Id": "0192f3a4-1111-7abc-8def-000000000001"}
	bearer := map[string]string{"Authorization": "Bearer " + token(tb, jwt.SigningMethodHS256, secret, nil)}
	f, metrics := newFake(), apply.NewMetrics(prometheus.NewRegistry())
	at := func(applier applier, auth Authenticator) http.Handler {
		return New(applier, f, f, f, auth, metrics, slog.New(slog.DiscardHandler))
	}
	replaying := &fake{apply: func(k coupon.Key) (apply.Answer, error) { return answer(k, coupon.StatusAccepted, true), nil }}
	soldOut := coupon.NewError(coupon.CodeSoldOut, "") // made once, as apply has it
	refusing := &fake{apply: func(coupon.Key) (apply.Answer, error) { return apply.Answer{}, soldOut }}
	signed := NewBearer(secret, "shop", "coupons")
	return []call{
		{"granted", at(f, Dev{}), dev, http.StatusAccepted, 5},
		{"replayed", at(replaying, Dev{}), dev, http.StatusOK, 6},
		{"refused", at(refusing, Dev{}), dev, http.StatusConflict, 3},
		{"granted, jwt", at(f, signed), bearer, http.StatusAccepted, 34},
		{"replayed, jwt", at(replaying, signed), bearer, http.StatusOK, 35},
		{"refused, jwt", at(refusing, signed), bearer, http.StatusConflict, 32},
	}
}

// again returns the same apply, to be made as often as one likes.
func (c call) again(tb testing.TB) func() {
	tb.Helper()
	request := httptest.NewRequest(http.MethodPost, "/v1/campaigns/winter/apply", http.NoBody)
	for name, value := range c.headers {
		request.Header.Set(name, value)
	}
	w := &sink{header: http.Header{}}
	c.handler.ServeHTTP(w, request)
	require.Equal(tb, c.status, w.status, string(w.body))
	return func() {
		clear(w.header)
		c.handler.ServeHTTP(w, request)
	}
}

// BenchmarkHandler is what the HTTP layer itself costs an apply, beside a gin handler that writes the same bytes.
func BenchmarkHandler(b *testing.B) {
	body := []byte(`{"type":"/problems/sold_out","title":"All coupons are gone","status":409,"code":"sold_out",` +
		`"instance":"/v1/campaigns/winter/apply","request_id":"7b3c1d6f7b3c1d6f7b3c1d6f7b3c1d6f"}`)
	gin.SetMode(gin.ReleaseMode)
	bare := gin.New()
	bare.POST("/v1/campaigns/:id/apply", func(c *gin.Context) { c.Data(http.StatusConflict, "application/problem+json", body) })
	for _, c := range append(calls(b), call{name: "bare gin", handler: bare, status: http.StatusConflict}) {
		b.Run(c.name, func(b *testing.B) {
			apply := c.again(b)
			b.ReportAllocs()
			for b.Loop() {
				apply()
			}
		})
	}
}
