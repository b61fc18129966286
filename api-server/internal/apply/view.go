package apply

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	refreshEvery = time.Second // how often the campaigns are read again; a change reaches every server within twice that
	retryEvery   = 250 * time.Millisecond
	reloadPause  = 100 * time.Millisecond // between two refreshes, when one is asked for
)

type campaigns interface {
	View(ctx context.Context) ([]coupon.Campaign, error)
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
}

// View keeps the campaigns of MySQL in memory. It decides nothing that must be exact: it says where a claim goes, and
// what is refused without a round trip.
type View struct {
	source  campaigns
	logger  *slog.Logger
	current atomic.Pointer[snapshot]
	wake    chan struct{}
	misses  *misses
}

type snapshot struct {
	asOf   time.Time // when it was asked for; zero before the first
	byID   map[string]*coupon.Campaign
	sorted []*coupon.Campaign
}

// NewView returns an empty view; Refresh fills it.
func NewView(source campaigns, logger *slog.Logger) *View {
	v := &View{source: source, logger: logger, wake: make(chan struct{}, 1), misses: newMisses()}
	v.current.Store(&snapshot{})
	return v
}

// Campaign returns the campaign of that id if it is in the view; it must not be changed.
func (v *View) Campaign(id string) (*coupon.Campaign, bool) {
	c, ok := v.current.Load().byID[id]
	return c, ok
}

// dated is Campaign with the instant at which the view it is from was asked for.
func (v *View) dated(id string) (c *coupon.Campaign, asOf time.Time, ok bool) {
	s := v.current.Load()
	c, ok = s.byID[id]
	return c, s.asOf, ok
}

// Campaigns returns the campaigns of the view in the order of their ids; they must not be changed.
func (v *View) Campaigns() []*coupon.Campaign { return v.current.Load().sorted }

// asOf returns when the view that stands was asked for.
func (v *View) asOf() time.Time { return v.current.Load().asOf }

// Find returns the campaign of that id. One that is not in the view, because it was opened a moment ago or closed long
// ago, is asked for; only the record may say that there is none. The error is campaign_not_found, overloaded or unavailable.
func (v *View) Find(ctx context.Context, id string) (*coupon.Campaign, error) {
	if c, ok := v.Campaign(id); ok {
		return c, nil
	}
	return v.misses.find(ctx, id, v.source)
}

// Refresh reads the campaigns once.
func (v *View) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, refreshEvery)
	defer cancel()
	asked := time.Now()
	all, err := v.source.View(ctx)
	if err != nil {
		return err
	}
	next := &snapshot{asOf: asked, byID: make(map[string]*coupon.Campaign, len(all)), sorted: make([]*coupon.Campaign, len(all))}
	for i := range all {
		next.byID[all[i].ID] = &all[i]
		next.sorted[i] = &all[i]
	}
	slices.SortFunc(next.sorted, func(a, b *coupon.Campaign) int { return strings.Compare(a.ID, b.ID) })
	v.current.Store(next)
	return nil
}

// Reload asks for a refresh soon, because an answer contradicted the view. However many ask, there is one in reloadPause.
func (v *View) Reload() {
	select {
	case v.wake <- struct{}{}:
	default: // one is asked for already
	}
}

// discard takes what is due in c: a refresh that begins now serves whoever asked before it.
func discard[T any](c <-chan T) {
	select {
	case <-c:
	default:
	}
}

// Run refreshes until ctx ends. A store that does not answer leaves the last view standing: what it allows is judged
// again by Redis and confirmed by MySQL.
func (v *View) Run(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	failing := false
	wake, paused := v.wake, (<-chan time.Time)(nil) // while one is set, the other is nil
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			discard(v.wake)
		case <-wake:
			discard(tick.C)
		case <-paused:
			wake, paused = v.wake, nil
			continue
		}
		wake, paused = nil, time.After(reloadPause)
		err := v.Refresh(ctx)
		switch {
		case err != nil && !failing:
			v.logger.Warn("campaign view is not refreshed", "error", err)
			tick.Reset(retryEvery)
		case err == nil && failing:
			tick.Reset(refreshEvery)
		}
		failing = err != nil
	}
}
