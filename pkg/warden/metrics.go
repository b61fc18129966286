package warden

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Metrics are the numbers of a warden. Every warden shows where the epochs stand; only the one that leads counts fences.
type Metrics struct {
	fences  prometheus.Histogram
	breaks  prometheus.Counter
	members prometheus.Counter
	epoch   *prometheus.GaugeVec
	state   *prometheus.GaugeVec

	shown map[string]coupon.EpochState // campaign → the state that is shown
}

// NewMetrics registers the numbers of a warden.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		fences: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coupon_fence_seconds", Help: "Time of one fence and rebuild, of all its campaigns together.",
			Buckets: prometheus.ExponentialBuckets(0.25, 2, 12),
		}),
		breaks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coupon_seal_breaks_total", Help: "Claim states in Redis found lost: restarted, replaced, rewound, flushed or damaged.",
		}),
		members: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coupon_fence_members_total", Help: "Members loaded into Redis by rebuilds.",
		}),
		epoch: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupon_epoch", Help: "Number of a campaign's epoch.",
		}, []string{"campaign"}),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coupon_epoch_state", Help: "1 for the state that a campaign's epoch is in.",
		}, []string{"campaign", "state"}),
		shown: map[string]coupon.EpochState{},
	}
	registry.MustRegister(m.fences, m.breaks, m.members, m.epoch, m.state)
	return m
}

// Loaded counts members that a rebuild has loaded.
func (m *Metrics) Loaded(members int) { m.members.Add(float64(members)) }

// show brings the gauges to what the record says. A closed campaign, and one that is not watched any more, has none.
func (m *Metrics) show(campaigns []coupon.Campaign) {
	present := make(map[string]bool, len(campaigns))
	for i := range campaigns {
		c := &campaigns[i]
		if c.Status == coupon.CampaignClosed {
			continue
		}
		present[c.ID] = true
		m.epoch.WithLabelValues(c.ID).Set(float64(c.Epoch))
		if old, known := m.shown[c.ID]; known && old != c.EpochState {
			m.state.DeleteLabelValues(c.ID, string(old))
		}
		m.state.WithLabelValues(c.ID, string(c.EpochState)).Set(1)
		m.shown[c.ID] = c.EpochState
	}
	for id, state := range m.shown {
		if present[id] {
			continue
		}
		m.epoch.DeleteLabelValues(id)
		m.state.DeleteLabelValues(id, string(state))
		delete(m.shown, id)
	}
}
