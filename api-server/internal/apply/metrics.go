package apply

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Metrics are the numbers of the apply path. Counters of a campaign are looked up once and kept.
type Metrics struct {
	applies        *prometheus.CounterVec
	duration       prometheus.Histogram
	claimBatch     prometheus.Histogram
	confirmSeconds prometheus.Histogram
	directIssued   prometheus.Counter
	fromMemory     prometheus.Counter
	answers        answerCounters
	remaining      *prometheus.GaugeVec
	pending        *prometheus.GaugeVec
	oldest         prometheus.Gauge

	campaigns sync.Map        // campaign id → *campaignCounts
	shown     map[string]bool // whose gauges are set; only show uses it
}

// campaignCounts are one campaign's counters by outcome, and how fast they grew lately.
type campaignCounts struct {
	outcomes sync.Map // outcome → prometheus.Counter
	rate     atomic.Pointer[rate]
}

// outcomeReplayed is the outcome of a repeat, whatever the claim's status.
const outcomeReplayed = "replayed"

type answerCounters map[coupon.ClaimStatus]prometheus.Counter

// With returns the counter of answers with that status.
func (a answerCounters) With(s coupon.ClaimStatus) prometheus.Counter { return a[s] }

// NewMetrics registers the numbers of the apply path.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		applies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coupon_applies_total", Help: "Applies by campaign and outcome.",
		}, []string{"campaign", "outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coupon_apply_duration_seconds", Help: "Time from an apply's arrival to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		claimBatch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coupon_claim_batch_size", Help: "Claims in one call to Redis.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		confirmSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coupon_confirm_duration_seconds", Help: "Time of one confirm read.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2, 14),
		}),
		directIssued: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coupon_direct_issued_total", Help: "Coupons issued while their users waited: in mode sql, or past a log that was away.",
		}),
		fromMemory: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coupon_sold_out_from_memory_total", Help: "Applies refused as sold out without asking Redis.",
		}),
		remaining: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupon_stock_remaining", Help: "Places that can still be given out.",
		}, []string{"campaign"}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupon_pending", Help: "Claims not yet acknowledged by Kafka.",
		}, []string{"campaign"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "coupon_pending_oldest_age_seconds", Help: "How long the oldest pending claim has been due for a sweep.",
		}),
	}
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "coupon_answers_total", Help: "Claims answered, by status.",
	}, []string{"status"})
	m.answers = answerCounters{}
	for _, s := range []coupon.ClaimStatus{coupon.StatusPending, coupon.StatusAccepted, coupon.StatusIssued, coupon.StatusFailed} {
		m.answers[s] = answers.WithLabelValues(string(s))
	}
	registry.MustRegister(m.applies, m.duration, m.claimBatch, m.confirmSeconds, m.directIssued, m.fromMemory,
		m.remaining, m.pending, m.oldest, answers)
	return m
}

// Granted counts an apply that was answered with a claim.
func (m *Metrics) Granted(a Answer, took time.Duration) {
	outcome := string(a.Status)
	if a.Replayed {
		outcome = outcomeReplayed
	}
	m.observe(a.Claim.Campaign, outcome, took)
}

// Refused counts an apply that was refused. One of an unknown campaign is not counted: a label must be bounded.
func (m *Metrics) Refused(campaign string, code coupon.Code, took time.Duration) {
	if code == "" || code == coupon.CodeCampaignNotFound {
		return
	}
	m.observe(campaign, string(code), took)
}

func (m *Metrics) observe(campaign, outcome string, took time.Duration) {
	m.duration.Observe(took.Seconds())
	counts := m.of(campaign)
	c, ok := counts.outcomes.Load(outcome)
	if !ok {
		c, _ = counts.outcomes.LoadOrStore(outcome, m.applies.WithLabelValues(campaign, outcome))
	}
	c.(prometheus.Counter).Inc()
}

func (m *Metrics) of(campaign string) *campaignCounts {
	if c, ok := m.campaigns.Load(campaign); ok {
		return c.(*campaignCounts)
	}
	c, _ := m.campaigns.LoadOrStore(campaign, &campaignCounts{})
	return c.(*campaignCounts)
}

// show publishes the levels of the opened campaigns. The series of a campaign that is opened no more, or whose level is
// not known, is dropped rather than left at an old value.
func (m *Metrics) show(campaigns []*coupon.Campaign, found []coupon.Level, now time.Time) {
	shown := make(map[string]bool, len(campaigns))
	oldest := time.Duration(0)
	for i, c := range campaigns {
		m.sampleRate(c, now)
		if !found[i].Known {
			continue
		}
		shown[c.ID] = true
		m.remaining.WithLabelValues(c.ID).Set(float64(max(0, c.HiWanted-found[i].Last)))
		m.pending.WithLabelValues(c.ID).Set(float64(found[i].Pending))
		if found[i].Pending > 0 {
			oldest = max(oldest, now.Sub(found[i].OldestDue))
		}
	}
	m.oldest.Set(oldest.Seconds())
	for id := range m.shown {
		if !shown[id] {
			m.remaining.DeleteLabelValues(id)
			m.pending.DeleteLabelValues(id)
		}
	}
	m.shown = shown
}
