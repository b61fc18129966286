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

func measure(b *testing.B, handler http.Handler, status int, headers map[string]string) {
	b.Helper()
	request := httptest.NewRequest(http.MethodPost, "/v1/campaigns/winter/apply", http.NoBody)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	w := &sink{header: http.Header{}}
	handler.ServeHTTP(w, request)
	require.Equal(b, status, w.status, string(w.body))
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		handler.ServeHTTP(w, request)
	}
}

// BenchmarkHandler is what the HTTP layer itself costs an apply, beside a gin handler that writes the same bytes.
func BenchmarkHandler(b *testing.B) {
	metrics := apply.NewMetrics(prometheus.NewRegistry())
	dev := map[string]string{"X-User-Id": "0192f3a4-1111-7abc-8def-000000000001"}
	f := newFake()
	b.Run("granted", func(b *testing.B) {
		measure(b, New(f, f, f, f, Dev{}, metrics, slog.New(slog.DiscardHandler)), http.StatusAccepted, dev)
	})
	refusing := &fake{apply: func(coupon.Key) (apply.Answer, error) {
		return apply.Answer{}, coupon.NewError(coupon.CodeSoldOut, "")
	}}
	b.Run("refused", func(b *testing.B) {
		measure(b, New(refusing, f, f, f, Dev{}, metrics, slog.New(slog.DiscardHandler)), http.StatusConflict, dev)
	})
	b.Run("refused, jwt", func(b *testing.B) {
		bearer := map[string]string{"Authorization": "Bearer " + token(b, jwt.SigningMethodHS256, secret, nil)}
		measure(b, New(refusing, f, f, f, NewBearer(secret, "shop", "coupons"), metrics, slog.New(slog.DiscardHandler)),
			http.StatusConflict, bearer)
	})
	b.Run("bare gin", func(b *testing.B) {
		body := []byte(`{"type":"/problems/sold_out","title":"All coupons are gone","status":409,"code":"sold_out",` +
			`"instance":"/v1/campaigns/winter/apply","request_id":"7b3c1d6f7b3c1d6f7b3c1d6f7b3c1d6f"}`)
		gin.SetMode(gin.ReleaseMode)
		engine := gin.New()
		engine.POST("/v1/campaigns/:id/apply", func(c *gin.Context) { c.Data(http.StatusConflict, "application/problem+json", body) })
		measure(b, engine, http.StatusConflict, dev)
	})
}
