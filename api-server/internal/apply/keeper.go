package apply

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/outbox"
)

const (
	sweepEvery  = 500 * time.Millisecond
	levelsBound = time.Second
	sweepBound  = 10 * time.Second
)

type levels interface {
	Levels(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error)
	Push(ctx context.Context, d coupon.Document) (coupon.Pushed, error)
}

type sweeper interface {
	Sweep(ctx context.Context, campaign string, epoch int64, overdue time.Duration) (outbox.Swept, error)
}

// Keeper looks at every campaign's stock twice a second: it remembers the levels, publishes what was left pending, and
// finishes a pause or close that did not reach Redis.
type Keeper struct {
	view    *View
	stock   levels
	outbox  sweeper
	metrics *Metrics
	logger  *slog.Logger
	current atomic.Pointer[map[string]coupon.Level]
}

// NewKeeper returns a Keeper of the view's campaigns.
func NewKeeper(view *View, stock levels, outbox sweeper, metrics *Metrics, logger *slog.Logger) *Keeper {
	k := &Keeper{view: view, stock: stock, outbox: outbox, metrics: metrics, logger: logger}
	k.current.Store(&map[string]coupon.Level{})
	return k
}

// Level returns the level of a campaign as last seen; Known is false when Redis could not tell.
func (k *Keeper) Level(campaign string) coupon.Level { return (*k.current.Load())[campaign] }

// Run keeps until ctx ends. A sweep that was begun is finished within its own bound.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.Once(ctx, time.Now())
		}
	}
}

// Once looks at every campaign once.
func (k *Keeper) Once(ctx context.Context, now time.Time) {
	var opened []*coupon.Campaign
	for _, c := range k.view.Campaigns() {
		if c.Epoch > 0 && c.Mode == coupon.ModeRedis {
			opened = append(opened, c)
		}
	}
	bounded, cancel := context.WithTimeout(ctx, levelsBound)
	defer cancel()
	found, err := k.stock.Levels(bounded, opened)
	if err != nil {
		k.current.Store(&map[string]coupon.Level{})
		k.logger.Debug("stock levels are unknown", "error", err)
		return
	}
	next := make(map[string]coupon.Level, len(opened))
	for i, c := range opened {
		next[c.ID] = found[i]
	}
	k.current.Store(&next)
	k.metrics.show(opened, found, now)
	for i, c := range opened {
		k.tend(ctx, c, found[i], now)
	}
}

func (k *Keeper) tend(ctx context.Context, c *coupon.Campaign, level coupon.Level, now time.Time) {
	if level.Version > 0 && level.Version < c.Version {
		k.push(ctx, c)
	}
	if level.Pending == 0 || level.OldestDue.After(now) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepBound)
	defer cancel()
	swept, err := k.outbox.Sweep(ctx, c.ID, c.Epoch, 0)
	if err != nil {
		k.logger.Warn("sweep did not finish", "campaign", c.ID, "taken", swept.Taken, "published", swept.Published, "error", err)
		return
	}
	if swept.Taken > 0 {
		k.logger.Info("pending claims published again", "campaign", c.ID, "published", swept.Published)
	}
}

func (k *Keeper) push(ctx context.Context, c *coupon.Campaign) {
	ctx, cancel := context.WithTimeout(ctx, levelsBound)
	defer cancel()
	if _, err := k.stock.Push(ctx, c.Document()); err != nil {
		k.logger.Warn("document not pushed", "campaign", c.ID, "version", c.Version, "error", err)
	}
}
