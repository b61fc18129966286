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
	sweepEvery = 500 * time.Millisecond
	redisBound = time.Second
	sweepBound = 10 * time.Second
)

// keptStock is what a keeper asks of Redis. Open must refuse a campaign whose keys are not as they were prepared.
type keptStock interface {
	Levels(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error)
	Push(ctx context.Context, d coupon.Document) (coupon.Pushed, error)
	Open(ctx context.Context, d coupon.Document) error
}

type sweeper interface {
	Sweep(ctx context.Context, campaign string, epoch int64, overdue time.Duration) (outbox.Swept, error)
}

// Keeper looks at every campaign's stock twice a second: it remembers the levels, finishes an opening, pause or close
// that did not reach Redis, and publishes what was left pending.
type Keeper struct {
	view    *View
	stock   keptStock
	outbox  sweeper
	metrics *Metrics
	logger  *slog.Logger
	current atomic.Pointer[map[string]coupon.Level]
}

// NewKeeper returns a Keeper of the view's campaigns.
func NewKeeper(view *View, stock keptStock, outbox sweeper, metrics *Metrics, logger *slog.Logger) *Keeper {
	k := &Keeper{view: view, stock: stock, outbox: outbox, metrics: metrics, logger: logger}
	k.current.Store(&map[string]coupon.Level{})
	return k
}

// Level returns the level of a campaign as last seen; Known is false when Redis could not tell.
func (k *Keeper) Level(campaign string) coupon.Level { return (*k.current.Load())[campaign] }

// Run keeps until ctx ends. A sweep cut short leaves its claims leased for a moment; another server takes them then.
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
		if c.EpochState == coupon.EpochActive && c.Mode == coupon.ModeRedis {
			opened = append(opened, c)
		}
	}
	found, err := k.look(ctx, opened)
	if err != nil {
		k.logger.Debug("not all stock levels are known", "error", err)
	}
	levels := make(map[string]coupon.Level, len(opened))
	for i, c := range opened {
		levels[c.ID] = found[i]
	}
	k.current.Store(&levels)
	k.metrics.show(opened, found, now)
	for i, c := range opened {
		k.finish(ctx, c, found[i])
	}
	k.sweep(ctx, opened, found)
}

func (k *Keeper) look(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error) {
	ctx, cancel := context.WithTimeout(ctx, redisBound)
	defer cancel()
	found, err := k.stock.Levels(ctx, campaigns)
	if len(found) != len(campaigns) {
		return make([]coupon.Level, len(campaigns)), err
	}
	return found, err
}

// finish brings to Redis what an operator's request recorded and did not get there.
func (k *Keeper) finish(ctx context.Context, c *coupon.Campaign, level coupon.Level) {
	if !level.Known || level.Version >= c.Version {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisBound)
	defer cancel()
	var err error
	if level.Version == 0 {
		err = k.stock.Open(ctx, c.Document())
	} else {
		_, err = k.stock.Push(ctx, c.Document())
	}
	if err != nil {
		k.logger.Warn("a campaign's document did not reach Redis", "campaign", c.ID, "version", c.Version, "error", err)
	}
}

// sweep asks for every campaign with pending claims; whether they are due is judged by Redis' clock, not by ours.
func (k *Keeper) sweep(ctx context.Context, campaigns []*coupon.Campaign, levels []coupon.Level) {
	ctx, cancel := context.WithTimeout(ctx, sweepBound)
	defer cancel()
	for i, c := range campaigns {
		if levels[i].Pending == 0 {
			continue
		}
		swept, err := k.outbox.Sweep(ctx, c.ID, c.Epoch, 0)
		if err != nil {
			k.logger.Warn("sweep did not finish", "campaign", c.ID, "taken", swept.Taken, "published", swept.Published, "error", err)
			continue
		}
		if swept.Taken > 0 {
			k.logger.Info("pending claims published again", "campaign", c.ID, "published", swept.Published)
		}
	}
}
