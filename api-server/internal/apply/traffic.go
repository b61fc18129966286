package apply

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Traffic is what this server saw of a campaign since it started.
type Traffic struct {
	Refused     map[string]int64 // by code
	AppliesPerS float64
	IssuedPerS  float64
	P50, P99    time.Duration // of all applies of this server
}

// rate remembers two running totals at one instant, and what they grew by until then.
type rate struct {
	at              time.Time
	applies, issued int64
	appliesPerS     float64
	issuedPerS      float64
}

// Traffic returns what this server saw of a campaign.
func (m *Metrics) Traffic(campaign string) Traffic {
	t := Traffic{Refused: map[string]int64{}}
	m.eachOutcome(campaign, func(outcome string, n int64) {
		switch outcome {
		case string(coupon.StatusPending), string(coupon.StatusAccepted), string(coupon.StatusIssued), string(coupon.StatusFailed),
			outcomeReplayed:
		default:
			t.Refused[outcome] = n
		}
	})
	if r := m.of(campaign).rate.Load(); r != nil {
		t.AppliesPerS, t.IssuedPerS = r.appliesPerS, r.issuedPerS
	}
	var histogram dto.Metric
	if m.duration.Write(&histogram) == nil {
		t.P50 = quantile(histogram.GetHistogram(), 0.50)
		t.P99 = quantile(histogram.GetHistogram(), 0.99)
	}
	return t
}

// sampleRate is called twice a second for each opened campaign.
func (m *Metrics) sampleRate(c *coupon.Campaign, now time.Time) {
	var applies int64
	m.eachOutcome(c.ID, func(_ string, n int64) { applies += n })
	next := &rate{at: now, applies: applies, issued: c.Issued}
	counts := m.of(c.ID)
	if last := counts.rate.Load(); last != nil {
		seconds := now.Sub(last.at).Seconds()
		if seconds < 1 {
			return
		}
		next.appliesPerS = float64(applies-last.applies) / seconds
		next.issuedPerS = max(0, float64(c.Issued-last.issued)/seconds) // cancelled coupons are issued no more
	}
	counts.rate.Store(next)
}

func (m *Metrics) eachOutcome(campaign string, visit func(outcome string, n int64)) {
	m.of(campaign).outcomes.Range(func(outcome, counter any) bool {
		var value dto.Metric
		if counter.(prometheus.Counter).Write(&value) == nil {
			visit(outcome.(string), int64(value.GetCounter().GetValue()))
		}
		return true
	})
}

// quantile is the upper bound of the histogram bucket that holds the q-th observation; 0 without observations.
func quantile(h *dto.Histogram, q float64) time.Duration {
	rank := uint64(q * float64(h.GetSampleCount()))
	if h.GetSampleCount() == 0 {
		return 0
	}
	for _, bucket := range h.GetBucket() {
		if bucket.GetCumulativeCount() > rank {
			return time.Duration(bucket.GetUpperBound() * float64(time.Second))
		}
	}
	last := h.GetBucket()[len(h.GetBucket())-1]
	return time.Duration(last.GetUpperBound() * float64(time.Second))
}
