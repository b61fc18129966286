package audit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Metrics are the numbers of an audit.
type Metrics struct {
	failed   *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec // without labels: one series, or none
	oversold *prometheus.GaugeVec
	broken   prometheus.Counter
	success  *prometheus.GaugeVec
}

// NewMetrics registers the numbers of an audit.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		failed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupon_failed_events", Help: "Failed events that are not done, by status, counted up to 10,000.",
		}, []string{"status"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupon_failed_event_oldest_age_seconds", Help: "How long the oldest failed event that batch is to retry has waited.",
		}, nil),
		oversold: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupon_oversold", Help: "Coupons that hold a place beyond their campaign's limit. Must be 0.",
		}, []string{"campaign"}),
		broken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coupon_promises_broken_total", Help: "Claims that may have been promised and were found refused, dead or lost. Must be 0.",
		}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupon_batch_last_success_timestamp_seconds", Help: "When a job of batch last succeeded; 0 if it ran and never did.",
		}, []string{"job"}),
	}
	registry.MustRegister(m.failed, m.oldest, m.oversold, m.broken, m.success)
	return m
}

func (m *Metrics) showFailures(byStatus map[coupon.FailureStatus]int64, oldest time.Duration) {
	for status, events := range byStatus {
		m.failed.WithLabelValues(string(status)).Set(float64(events))
	}
	m.oldest.WithLabelValues().Set(oldest.Seconds())
}

func (m *Metrics) forgetFailures() {
	m.failed.Reset()
	m.oldest.Reset()
}

func (m *Metrics) showSuccess(job string, at time.Time) {
	seconds := 0.0
	if !at.IsZero() {
		seconds = float64(at.UnixMilli()) / 1000
	}
	m.success.WithLabelValues(job).Set(seconds)
}
