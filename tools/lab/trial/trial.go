package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seonchak/seonchak/tools/lab/serve"
	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/procs"
)

// Options say where trials are held.
type Options struct {
	Stores  procs.Stores
	Bin     string        // folder of the product
	Longest time.Duration // that users come for, but to a booking; who comes later is not let in
	Watch   func(done func() int64) (stop func())
}

// What is not to be cut off is bounded all the same: a booking ends when the last seeker has the seat, and places of the
// product return within seconds.
const (
	longestBooking = 20 * time.Second
	longestMembers = 2 * time.Minute
)

// Run holds a trial.
func Run(ctx context.Context, options Options, which Case) (result Result, err error) {
	logs, err := os.MkdirTemp("", "seonchak-lab-")
	if err != nil {
		return Result{}, err
	}
	t, dsn, err := raise(ctx, options, which, logs)
	if t != nil {
		defer func() {
			if err = errors.Join(err, t.close()); err == nil {
				err = os.RemoveAll(logs)
			}
		}()
	}
	if err != nil {
		return Result{}, fmt.Errorf("%w\nthe logs of the servers are in %s", err, logs)
	}
	return hold(ctx, options, which, t, dsn)
}

func raise(ctx context.Context, options Options, which Case, logs string) (t target, dsn string, err error) {
	if which.Product() {
		p, err := startProduct(ctx, options.Stores, options.Bin, logs, which)
		if p == nil {
			return nil, "", err
		}
		return p, p.DSN, err
	}
	spec, ok := strategy.Find(which.Strategy)
	if !ok {
		return nil, "", fmt.Errorf("there is no strategy %q", which.Strategy)
	}
	g, err := NewGround(ctx, options.Stores, spec, which.Limit)
	if err != nil {
		return nil, "", err
	}
	if which.Workload == Contention {
		if err := g.OpenAccount(ctx); err != nil {
			return nil, "", errors.Join(err, g.Close())
		}
	}
	s, err := startServers(ctx, g, which.Servers, which.crashAt(), logs)
	return s, g.DSN, err
}

// crashAt is the grant at which a server dies: half of what one has to do.
func (c Case) crashAt() int {
	switch {
	case !c.Crash:
		return 0
	case c.Workload == Contention:
		return c.Applies / c.Servers / 2
	default:
		return max(1, c.Limit/c.Servers/2)
	}
}

func hold(ctx context.Context, options Options, which Case, t target, dsn string) (Result, error) {
	c := &Crowd{servers: t.addresses(), campaign: t.campaign()}
	cost, err := c.expense(ctx, options, which, t, dsn)
	if err != nil {
		return Result{}, err
	}
	r, err := t.record(ctx)
	if err != nil {
		return Result{}, err
	}
	result := c.result(which, cost.took, r)
	result.LastRow = cost.lastRow.Seconds()
	result.Statements = float64(cost.database.statements) / float64(max(1, result.Granted))
	result.LockWaits, result.LockWaited = cost.database.lockWaits, cost.database.lockWaited
	result.OtherP50, result.OtherP99 = percentile(cost.granting, 50), percentile(cost.granting, 99)
	result.RowsP50, result.RowsP99 = percentile(cost.writing, 50), percentile(cost.writing, 99)
	stats := t.stats()
	result.Retries, result.Deadlocks, result.TimeOuts = stats.Retries, stats.Deadlocks, stats.TimeOuts
	if result.Crashed, err = t.crashed(ctx); err != nil {
		return Result{}, err
	}
	client, err := serve.Dial(options.Stores.Redis)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = client.Close() }()
	result.Memory, err = memory(ctx, client, t.campaign())
	return result, err
}

func (c *Crowd) comeFor(ctx context.Context, options Options, which Case) {
	longest := options.Longest
	switch which.Workload {
	case Booking:
		longest = longestBooking
	case Members:
		longest = longestMembers
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if options.Watch != nil {
		defer options.Watch(c.done.Load)()
	}
	c.attend(ctx, which)
}

// crash kills the product in the middle, unless the crowd is gone before. The servers of a strategy die by themselves, where
// it hurts most.
func (c *Crowd) crash(ctx context.Context, which Case, t target) <-chan error {
	ended := make(chan error, 1)
	p, ok := t.(*product)
	if !which.Crash || !ok {
		ended <- nil
		return ended
	}
	go func() {
		for c.granted.Load() < int64(which.crashAt()) {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-time.After(time.Millisecond):
			}
		}
		ended <- p.crash(context.WithoutCancel(ctx))
	}()
	return ended
}
