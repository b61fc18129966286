package apply

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	missesKept   = 4096         // more answers than that are not kept
	missesAsking = 4            // questions at once; the others wait: invented ids must not eat the database
	missAge      = refreshEvery // an answer is as old as the view may be
	missDeadline = 800 * time.Millisecond
)

// misses asks the record for campaigns that are not in the view, and remembers for a moment what it said. One question of
// an id is under way at a time; whoever asks meanwhile gets its answer. That it is a draft is never remembered: it may be
// opened, and have holders, the next moment.
type misses struct {
	asking  chan struct{} // full while no more may ask
	flights singleflight.Group

	mu    sync.Mutex
	known map[string]miss
}

type miss struct {
	at       time.Time
	campaign *coupon.Campaign // nil when there is none
}

func newMisses() *misses {
	return &misses{asking: make(chan struct{}, missesAsking), known: map[string]miss{}}
}

// find answers from memory or asks the record. The error is campaign_not_found when the record said so, or that it is a
// draft; overloaded when too many ask, unavailable when the record did not answer.
func (m *misses) find(ctx context.Context, id string, record campaigns) (*coupon.Campaign, error) {
	c, shared, err := m.ask(ctx, id, record)
	if err == nil && shared && c.Status == coupon.CampaignDraft {
		c, _, err = m.ask(ctx, id, record) // that answer may be from before this caller came
	}
	switch {
	case err != nil:
		return nil, err
	case c.Status == coupon.CampaignDraft:
		return nil, errCampaignNotFound
	default:
		return c, nil
	}
}

// ask returns the campaign, a draft too, and whether another caller's question was answered.
func (m *misses) ask(ctx context.Context, id string, record campaigns) (c *coupon.Campaign, shared bool, err error) {
	if known, ok := m.fresh(id, time.Now()); ok {
		c, err = known.answer()
		return c, false, err
	}
	found, err, shared := m.flights.Do(id, func() (any, error) { return m.read(context.WithoutCancel(ctx), id, record) })
	if err != nil {
		return nil, shared, err
	}
	return found.(*coupon.Campaign), shared, nil
}

// read asks the record when it is its turn, within missDeadline, whoever of those who wait for it leaves.
func (m *misses) read(ctx context.Context, id string, record campaigns) (*coupon.Campaign, error) {
	ctx, cancel := context.WithTimeout(ctx, missDeadline)
	defer cancel()
	select {
	case m.asking <- struct{}{}:
		defer func() { <-m.asking }()
	case <-ctx.Done():
		return nil, errOverloaded
	}
	c, err := record.Campaign(ctx, id)
	switch {
	case err == nil && c.Status == coupon.CampaignDraft:
		return &c, nil
	case err == nil:
		return m.keep(id, miss{time.Now(), &c}).answer()
	case coupon.CodeOf(err) == coupon.CodeCampaignNotFound:
		return m.keep(id, miss{time.Now(), nil}).answer()
	default:
		return nil, coupon.Unavailable("read campaign", err)
	}
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

func (m *misses) keep(id string, found miss) miss {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= missesKept {
		clear(m.known)
	}
	m.known[id] = found
	return found
}
