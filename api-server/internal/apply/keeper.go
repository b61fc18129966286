package apply

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/outbox"
)

const (
	lookEvery   = 500 * time.Millisecond
	sweepEvery  = 500 * time.Millisecond
	redisBound  = time.Second
	recordBound = time.Second
	sweepBound  = 10 * time.Second

	// viewsSettle is how long after one server knows a thing all servers know it: their views are refreshed in less.
	viewsSettle = 2 * time.Second
)

// keptStock is what a keeper asks of Redis. Open must refuse a campaign whose keys are not as they were prepared.
type keptStock interface {
	Levels(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error)
	Push(ctx context.Context, d coupon.Document) (coupon.Pushed, error)
	Open(ctx context.Context, d coupon.Document) error
}

// keptRecord moves what Redis may give out. RaiseWanted must change nothing under another version of the campaign by now,
// FinishLowering nothing of a later lowering than the document's.
// FinishLowering answers limit_below_claimed, and the campaign as it then is, when the lowering was refused.
type keptRecord interface {
	RaiseWanted(ctx context.Context, ref coupon.EpochRef, version, seen int64) (coupon.Campaign, error)
	FinishLowering(ctx context.Context, doc coupon.Document, taken bool) (coupon.Campaign, error)
}

type sweeper interface {
	Sweep(ctx context.Context, campaign string, epoch int64, overdue time.Duration) (outbox.Swept, error)
}

// Keeper looks at every campaign's stock twice a second: it remembers the levels, finishes an opening, pause, close, raise
// or lowering that did not reach Redis, and publishes what was left pending.
type Keeper struct {
	view    *View
	stock   keptStock
	record  keptRecord
	outbox  sweeper
	metrics *Metrics
	logger  *slog.Logger
	watches map[string]*watch // by campaign; only Once uses it
	current atomic.Pointer[looked]
}

// looked is what the last look found.
type looked struct {
	levels map[coupon.EpochRef]coupon.Level
	due    []coupon.EpochRef // those with pending claims
}

// NewKeeper returns a Keeper of the view's campaigns.
func NewKeeper(view *View, stock keptStock, record keptRecord, outbox sweeper, metrics *Metrics, logger *slog.Logger) *Keeper {
	k := &Keeper{
		view: view, stock: stock, record: record, outbox: outbox, metrics: metrics, logger: logger,
		watches: map[string]*watch{},
	}
	k.current.Store(&looked{})
	return k
}

// Level returns the level of a campaign's epoch as last seen; Known is false when the store that hands out its serials
// could not tell, or the last look was at another epoch.
func (k *Keeper) Level(ref coupon.EpochRef) coupon.Level { return k.current.Load().levels[ref] }

// Run keeps until ctx ends. Looks and sweeps do not wait for each other: a log that is away must not keep a document from
// Redis. A sweep cut short leaves its claims leased for a moment; another server takes them then.
func (k *Keeper) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { every(ctx, sweepEvery, func() { k.Sweep(ctx) }) })
	every(ctx, lookEvery, func() {
		campaigns := k.view.Campaigns()
		k.once(ctx, campaigns, time.Now()) // in this order: what is seen now was recorded before now
	})
	loops.Wait()
}

func every(ctx context.Context, period time.Duration, do func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// once looks at every campaign once; now must have a monotonic reading, and be taken after the campaigns were read.
func (k *Keeper) once(ctx context.Context, campaigns []*coupon.Campaign, now time.Time) {
	var opened, inSQL []*coupon.Campaign
	for _, c := range campaigns {
		switch {
		case c.EpochState != coupon.EpochActive:
		case c.Mode == coupon.ModeSQL:
			inSQL = append(inSQL, c)
		default:
			opened = append(opened, c)
		}
	}
	found, err := k.look(ctx, opened)
	if err != nil {
		k.logger.Debug("not all stock levels are known", "error", err)
	}
	active := slices.Concat(opened, inSQL)
	for _, c := range inSQL {
		found = append(found, levelInSQL(c))
	}
	k.remember(active, found)
	k.metrics.show(active, found, now)
	k.watchAll(opened, now)
	for i, c := range opened {
		k.tend(ctx, c, found[i], now)
	}
}

// levelInSQL is the level of a campaign whose serials the database hands out, as old as the view.
func levelInSQL(c *coupon.Campaign) coupon.Level {
	return coupon.Level{Known: true, Last: c.NextSerial - 1, Epoch: c.Epoch, Version: c.Version}
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

func (k *Keeper) remember(campaigns []*coupon.Campaign, found []coupon.Level) {
	next := &looked{levels: make(map[coupon.EpochRef]coupon.Level, len(campaigns))}
	for i, c := range campaigns {
		next.levels[c.Ref()] = found[i]
		if found[i].Pending > 0 {
			next.due = append(next.due, c.Ref())
		}
	}
	k.current.Store(next)
}

// Sweep asks for every campaign with pending claims; whether they are due is judged by Redis' clock, not by ours.
func (k *Keeper) Sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepBound)
	defer cancel()
	for _, ref := range k.current.Load().due {
		swept, err := k.outbox.Sweep(ctx, ref.Campaign, ref.Epoch, 0)
		if err != nil {
			k.logger.Warn("sweep did not finish",
				"campaign", ref.Campaign, "taken", swept.Taken, "published", swept.Published, "error", err)
			continue
		}
		if swept.Taken > 0 {
			k.logger.Info("pending claims published again", "campaign", ref.Campaign, "published", swept.Published)
		}
	}
}
