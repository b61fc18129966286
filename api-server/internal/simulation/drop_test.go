package simulation

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// outcome is what one drop came to.
type outcome struct {
	faults, answers, binding, rows, epochs, inSQL, fromMemory int

	recovery time.Duration // from the end of the last fault until everything is at rest
	digest   uint64        // of all calls and answers
	found    []string      // every untruth, in words
}

func (o *outcome) add(p outcome) {
	o.faults += p.faults
	o.answers += p.answers
	o.binding += p.binding
	o.rows += p.rows
	o.epochs += p.epochs
	o.inSQL += p.inSQL
	o.fromMemory += p.fromMemory
}

// simulate runs one drop in a bubble of simulated time.
func simulate(t *testing.T, seed uint64, planted bug, logs io.Writer) (o outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, planted, logs)
		defer w.end()
		o = w.drop(context.Background())
	})
	return o
}

// drop lets the crowd apply while faults happen, waits for rest, lets everybody ask once more, and judges.
func (w *world) drop(ctx context.Context) outcome {
	if err := w.begin(ctx); err != nil {
		return outcome{found: []string{err.Error()}}
	}
	faults := w.suffers(ctx)
	healed := time.Now()
	restless := w.rest(ctx)
	asked := time.Now()
	if restless == nil {
		w.askAll(ctx)
		restless = w.rest(ctx)
	}
	o := w.sum()
	o.recovery = asked.Sub(healed)
	if o.found = w.untruths(restless, asked); len(o.found) > 0 {
		o.found = append(o.found, w.scene(faults)...)
	}
	return o
}

// askAll has everybody ask once more, now that nothing fails any more, until they are told yes or no.
func (w *world) askAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, restPatience)
	defer cancel()
	crowd{world: w, name: 2000, spans: 2 * time.Second, last: true}.run(ctx)
}

func (w *world) sum() outcome {
	c, rows, _, _ := w.record.Look(campaign)
	return outcome{
		faults: faultsADrop, answers: len(w.journal.answers), binding: len(w.journal.bound), rows: len(rows),
		epochs: int(c.Epoch), inSQL: w.record.EpochsIn(campaign, coupon.ModeSQL), fromMemory: w.fromMemory(),
		digest: w.journal.digest() ^ w.network.Digest(),
	}
}

// untruths returns every broken promise, in words. Some are promised at rest only.
func (w *world) untruths(restless error, asked time.Time) []string {
	c, rows, _, kept := w.record.Look(campaign)
	found := append(slices.Clone(w.broken), w.journal.judge(rows)...)
	if restless != nil {
		return append(found, "never came to rest")
	}
	found = append(found, w.conserved(c, kept)...)
	found = append(found, w.journal.unsettled(asked)...)
	if len(rows) < people && c.Issued < c.Limit {
		found = append(found, fmt.Sprintf("I8: %d places taken of %d, and somebody was refused", c.Issued, c.Limit))
	}
	return found
}

// scene tells where things stand, and what happened to them.
func (w *world) scene(faults []string) []string {
	c, rows, failures, kept := w.record.Look(campaign)
	health := w.stock.Look(context.Background(), []*coupon.Campaign{&c})[0]
	lines := []string{
		fmt.Sprintf("faults %v", faults),
		fmt.Sprintf("epoch %d %s %s, status %s, limit %d, issued %d, rows %d, kept %d, hi %d, wanted %d, lowering %d, lag %d, redis %v",
			c.Epoch, c.Mode, c.EpochState, c.Status, c.Limit, c.Issued, len(rows), kept, c.Hi, c.HiWanted, c.Lowering,
			w.log.Lag(), health),
	}
	for _, f := range failures {
		lines = append(lines, fmt.Sprintf("failed event %s: %s, %s, carried %v", f.EventKey, f.Status, f.Reason, f.Carried))
	}
	return lines
}

// suffers lets faults happen, some of them while others are at work, and the crowd apply meanwhile. It returns when all
// faults are over, and their names.
func (w *world) suffers(ctx context.Context) (names []string) {
	applying, over := context.WithCancel(ctx)
	defer over()
	var crowds, troubles sync.WaitGroup
	crowds.Go(func() { crowd{world: w, name: 1000, spans: 40 * time.Second}.run(applying) })
	random, all := w.random(2), faults()
	for i := range faultsADrop {
		_ = pass(ctx, between(random, 10*time.Millisecond, 4*time.Second))
		f := all[random.IntN(len(all))]
		names = append(names, f.name)
		troubles.Go(func() { f.do(ctx, w, w.random(uint64(100+i))) })
	}
	troubles.Wait()
	over()
	crowds.Wait()
	return names
}

// rest waits until nothing is on its way: the epoch is active and open in Redis, the log is consumed, nothing is pending, no
// wish is open and no failed event is left to retry.
func (w *world) rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restPatience)
	defer cancel()
	return await(ctx, 200*time.Millisecond, func() bool {
		c, _, _, kept := w.record.Look(campaign)
		if c.EpochState != coupon.EpochActive || c.Mode != coupon.ModeRedis || c.Lowering > 0 || c.Hi != c.HiWanted {
			return false
		}
		if kept > 0 || w.log.Lag() > 0 || w.stock.Look(ctx, []*coupon.Campaign{&c})[0].State != coupon.Sound {
			return false
		}
		levels, err := w.stock.Levels(ctx, []*coupon.Campaign{&c})
		return err == nil && levels[0].Pending == 0 && levels[0].Version >= c.Version
	})
}

// conserved checks that every place is taken, kept, or still to be given out: I8.
func (w *world) conserved(c coupon.Campaign, kept int64) []string {
	levels, err := w.stock.Levels(context.Background(), []*coupon.Campaign{&c})
	if err != nil {
		return []string{err.Error()}
	}
	if unsold := c.Hi - levels[0].Last; c.Issued+kept+unsold != c.Limit {
		return []string{fmt.Sprintf("I8: issued %d + kept %d + unsold %d are not the limit %d", c.Issued, kept, unsold, c.Limit)}
	}
	return nil
}
