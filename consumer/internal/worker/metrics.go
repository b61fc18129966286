package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// forgetAfter is how long a campaign's series outlive its last event. A closed campaign has none.
const forgetAfter = 24 * time.Hour

// Metrics are the numbers of the consumer.
type Metrics struct {
	issued *prometheus.CounterVec
	delay  prometheus.Histogram
	stale  prometheus.Counter
	void   prometheus.Counter

	seen map[string]time.Time // campaign → its last event
	next time.Time            // when series are forgotten next
}

// NewMetrics registers the numbers of the consumer.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coupon_issued_total", Help: "Records of the log by campaign and what became of them.",
		}, []string{"campaign", "outcome"}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coupon_issue_delay_seconds", Help: "Time from a claim to its row.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 18),
		}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coupon_stale_total", Help: "Claims of a closed epoch: they were never a promise.",
		}),
		void: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coupon_void_total", Help: "Claims of a user who was served already under another serial.",
		}),
		seen: map[string]time.Time{},
	}
	registry.MustRegister(m.issued, m.delay, m.stale, m.void)
	return m
}

// count adds one record. What no campaign of ours sent has an empty campaign, or poison could invent series.
func (m *Metrics) count(c coupon.Claim, outcome coupon.Outcome, reason coupon.FailureReason, now time.Time) {
	campaign := c.Campaign
	if reason == coupon.ReasonUnknownCampaign {
		campaign = ""
	}
	m.issued.WithLabelValues(campaign, outcome.String()).Inc()
	m.seen[campaign] = now
	m.forget(now)
	switch outcome {
	case coupon.OutcomeIssued:
		m.delay.Observe(max(0, now.Sub(c.ClaimedAt).Seconds()))
	case coupon.OutcomeStale:
		m.stale.Inc()
	case coupon.OutcomeVoid:
		m.void.Inc()
	}
}

// forget drops the series of campaigns that have had no event for a day.
func (m *Metrics) forget(now time.Time) {
	if now.Before(m.next) {
		return
	}
	m.next = now.Add(forgetAfter / 24)
	for campaign, last := range m.seen {
		if now.Sub(last) < forgetAfter {
			continue
		}
		m.issued.DeletePartialMatch(prometheus.Labels{"campaign": campaign})
		delete(m.seen, campaign)
	}
}
