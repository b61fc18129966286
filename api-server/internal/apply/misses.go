package apply

import (
	"context"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	missesKept   = 4096         // more answers than that are not kept
	missesAsking = 4            // more questions at once are refused: invented ids must not eat the database
	missAge      = refreshEvery // an answer is as old as the view may be
	missDeadline = 800 * time.Millisecond
)

// misses remembers for a moment what the record said of campaigns that are not in the view.
type misses struct {
	mu     sync.Mutex
	known  map[string]miss
	asking int
}

type miss struct {
	at       time.Time
	campaign *coupon.Campaign // nil when there is none, or it is a draft
}

// find answers from memory or asks the record. The error is campaign_not_found when the record said so, overloaded when
// too many ask, unavailable when the record did not answer.
func (m *misses) find(ctx context.Context, id string, record campaigns) (*coupon.Campaign, error) {
	if known, ok := m.fresh(id, time.Now()); ok {
		return known.answer()
	}
	if !m.begin() {
		return nil, errOverloaded
	}
	defer m.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), missDeadline)
	defer cancel()
	c, err := record.Campaign(ctx, id)
	if err != nil && coupon.CodeOf(err) != coupon.CodeCampaignNotFound {
		return nil, coupon.Unavailable("read campaign", err)
	}
	found := miss{at: time.Now()}
	if err == nil && c.Status != coupon.CampaignDraft {
		found.campaign = &c
	}
	m.keep(id, found)
	return found.answer()
}

func (m miss) answer() (*coupon.Campaign, error) {
	if m.campaign == nil {
		return nil, errCampaignNotFound
	}
	return m.campaign, nil
}

func (m *misses) fresh(id string, now time.Time) (miss, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.known[id]
	return known, ok && now.Sub(known.at) < missAge
}

func (m *misses) begin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asking >= missesAsking {
		return false
	}
	m.asking++
	return true
}

func (m *misses) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asking--
}

func (m *misses) keep(id string, found miss) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= missesKept {
		m.known = make(map[string]miss)
	}
	m.known[id] = found
}
