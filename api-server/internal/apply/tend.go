package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

// loweringPatience is how long a lowering may stand before another server finishes it.
const loweringPatience = 5 * time.Second

// tend brings to Redis what an operator's request, or a fence, recorded and did not get there.
func (k *Keeper) tend(ctx context.Context, c *coupon.Campaign, level coupon.Level, now time.Time) {
	w := k.watches[c.ID]
	k.raise(ctx, c, w.seen.settled(now))
	if !level.Known {
		return
	}
	k.finish(ctx, c, level, now.Sub(w.since) >= viewsSettle)
	if w.lowering.stands(now) {
		w.lowering.since = now
		k.finishLowering(ctx, c)
	}
}

// finish opens an epoch that Redis has no document of, not before every server knows it, or brings it a newer document.
func (k *Keeper) finish(ctx context.Context, c *coupon.Campaign, level coupon.Level, settled bool) {
	switch {
	case level.Epoch < c.Epoch && settled:
		ctx, cancel := context.WithTimeout(ctx, redisBound)
		defer cancel()
		k.warn("a campaign's epoch is not open in Redis", c, k.stock.Open(ctx, c.Document()))
	case level.Epoch == c.Epoch && level.Version < c.Version:
		_, err := k.push(ctx, c)
		k.warn("a campaign's document did not reach Redis", c, err)
	}
}

func (k *Keeper) push(ctx context.Context, c *coupon.Campaign) (coupon.Pushed, error) {
	ctx, cancel := context.WithTimeout(ctx, redisBound)
	defer cancel()
	return k.stock.Push(ctx, c.Document())
}

// raise lets Redis give out what every server has known for a while: until then one could still say sold out from memory.
func (k *Keeper) raise(ctx context.Context, c *coupon.Campaign, seen int64) {
	if c.Lowering > 0 || seen <= c.HiWanted {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, recordBound)
	defer cancel()
	raised, err := k.record.RaiseWanted(bounded, c.Ref(), c.Version, seen)
	if err == nil {
		_, err = k.push(ctx, &raised)
	}
	k.view.Reload()
	k.warn("a raise of the limit is not effective", c, err)
}

// finishLowering ends a lowering whose server did not. Redis says whether it could take the smaller hi. Killed at any
// point, the next server asks the same and hears the same.
func (k *Keeper) finishLowering(ctx context.Context, c *coupon.Campaign) {
	const unfinished = "a lowering of the limit is not finished"
	pushed, err := k.push(ctx, c)
	if err != nil {
		k.warn(unfinished, c, err)
		return
	}
	failpoint.Hit(failpoint.LoweringTaken)
	bounded, cancel := context.WithTimeout(ctx, recordBound)
	defer cancel()
	finished, err := k.record.FinishLowering(bounded, c.Document(), pushed.Hi <= c.HiWanted)
	if coupon.CodeOf(err) == coupon.CodeLimitBelowClaimed {
		_, err = k.push(ctx, &finished)
	}
	k.view.Reload()
	k.warn(unfinished, c, err)
}

func (k *Keeper) warn(what string, c *coupon.Campaign, err error) {
	if err != nil {
		k.logger.Warn(what, "campaign", c.ID, "epoch", c.Epoch, "version", c.Version, "error", err) //nolint:sloglint // one of four fixed messages
	}
}
