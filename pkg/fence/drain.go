package fence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

const (
	sweepBound = 2 * time.Second // of F2: it only spares users a wait
	// barrierBound is of F3: a log that takes no record for so long is away, and the error says why.
	barrierBound = 10 * time.Second
	drainCheck   = 100 * time.Millisecond
)

// drain is F2 to F4: when it returns nil, every claim of the campaigns that was ever confirmed is a row or a failed event.
func (f *Fence) drain(ctx context.Context, campaigns []coupon.Campaign, mode coupon.Mode) error {
	if len(campaigns) == 0 {
		return nil
	}
	if mode == coupon.ModeRedis {
		f.sweep(ctx, campaigns)
	}
	failpoint.Hit(failpoint.FenceSwept)
	ends, err := f.barrier(ctx, campaigns[0].Ref())
	if err != nil {
		return fmt.Errorf("learn where the log ends: %w", err)
	}
	failpoint.Hit(failpoint.BarrierMade)
	if err := f.reach(ctx, ends); err != nil {
		return fmt.Errorf("drain the log: %w", err)
	}
	failpoint.Hit(failpoint.LogDrained)
	return nil
}

// barrier is F3.
func (f *Fence) barrier(ctx context.Context, first coupon.EpochRef) ([]int64, error) {
	f.stands.Store("the log takes no barrier yet")
	ctx, cancel := context.WithTimeout(ctx, barrierBound)
	defer cancel()
	return f.log.Barrier(ctx, fmt.Sprintf("fence:%s:%d", first.Campaign, first.Epoch))
}

// sweep is F2: it publishes what the old Redis still knows, which keeps first-come order where the data survived. Failing
// costs nothing but that: none of these claims was confirmed.
func (f *Fence) sweep(ctx context.Context, campaigns []coupon.Campaign) {
	ctx, cancel := context.WithTimeout(ctx, sweepBound)
	defer cancel()
	_ = each(campaigns, func(c coupon.Campaign) error {
		if c.Mode != coupon.ModeRedis || ctx.Err() != nil {
			return nil
		}
		if _, err := f.stock.Fence(ctx, c.Ref()); err != nil {
			return err
		}
		return f.outbox.Flush(ctx, c.ID, c.Epoch)
	})
}

// reach is F4: it waits until the consumers have finished every record before the ends. A partition that was seen to be
// finished is finished: a late commit after a rebalance can set the group's offset back, not the rows.
func (f *Fence) reach(ctx context.Context, ends []int64) error {
	reached := make([]bool, len(ends))
	for {
		offsets, failure := f.log.Committed(ctx)
		left := 0
		for p, end := range ends {
			reached[p] = reached[p] || p < len(offsets) && offsets[p] >= end
			if !reached[p] {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		f.stands.Store(behind(left, len(ends), failure))
		if err := wait(ctx, drainCheck); err != nil {
			return errors.Join(fmt.Errorf("%d of %d partitions are behind: %w", left, len(ends), err), failure)
		}
	}
}

func behind(left, all int, failure error) string {
	words := fmt.Sprintf("the log is drained: %d of %d partitions are behind", left, all)
	if failure != nil {
		words += ": " + failure.Error()
	}
	return words
}
