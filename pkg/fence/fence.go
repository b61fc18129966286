// Package fence opens, closes and rebuilds the epochs of a campaign's claim state, so that Redis and MySQL agree on it before
// anything is granted. It is the one repair for every lost claim state: the steps F1 to F8 of docs/reliability.md.
package fence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

const (
	// viewsGone is how long after F1 some server's view of the old epoch may still be in use.
	viewsGone = 2 * time.Second
	width     = 8 // campaigns closed and loaded at the same time
)

// epochs is the record of epochs. Every step must be one transaction that names the epoch and state it starts from, and
// answer coupon.CodeUnavailable from any other: BeginFence returns those of the epochs that are fencing now.
type epochs interface {
	BeginFence(ctx context.Context, refs []coupon.EpochRef) ([]coupon.EpochRef, error)
	CloseEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error)
	TakeOverEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error)
	ActivateEpoch(ctx context.Context, d coupon.Document) (coupon.Document, error)
}

// gate is what may be granted in Redis. Fence must forbid it in an epoch, and change nothing in another; Open must allow
// it only on the owner, in a whole and untouched epoch newer than the one it holds; Discard must spare the epoch given and
// any later one.
type gate interface {
	Fence(ctx context.Context, ref coupon.EpochRef) (fenced bool, err error)
	Open(ctx context.Context, d coupon.Document) error
	Discard(ctx context.Context, campaign string, before int64) error
}

// log is the log and its consumers. Barrier must append a no-op to every partition, with all in-sync replicas, and return
// the offsets after them; Committed returns by partition what the consumers have finished.
type log interface {
	Barrier(ctx context.Context, id string) (ends []int64, err error)
	Committed(ctx context.Context) ([]int64, error)
}

// outbox publishes every pending claim of an epoch.
type outbox interface {
	Flush(ctx context.Context, campaign string, epoch int64) error
}

type record interface {
	epochs
	rows
}

type claimState interface {
	gate
	keys
}

// Options are what a Fence takes from outside. Every field must be set.
type Options struct {
	Now    func() time.Time  // a monotonic clock, as time.Now is
	Loaded func(members int) // told of every page that was loaded into Redis, from several goroutines
}

// Fence ends epochs and opens the next ones. It is safe for concurrent use, and two of them at once, in any processes, do no
// harm: of each step one wins.
type Fence struct {
	record record
	stock  claimState
	log    log
	outbox outbox
	stands atomic.Value // string
	Options
}

// NewFence returns a Fence over the record, the claim state, and the log with its outbox.
func NewFence(record record, stock claimState, log log, outbox outbox, options Options) *Fence {
	return &Fence{record: record, stock: stock, log: log, outbox: outbox, Options: options}
}

// Stands says, in words for a log, what the fence that began last waits for, and what went wrong with that last.
func (f *Fence) Stands() string {
	words, _ := f.stands.Load().(string)
	return words
}

// Rebuild ends the epochs of the campaigns, as they were read, and opens the next ones in the mode given. An active
// campaign is fenced; one that is fencing goes on where a crash left it; one that is loading is taken over under a new
// number, for which it must have made no progress for 10 s. A closed campaign gets no new epoch: it is retired. A
// campaign that is somewhere else by now is left alone.
//
// One barrier and one drain serve all of them; a loading, whose log is drained, does not wait for it. The error joins what
// went wrong; a campaign that fails does not stop the others. Killed at any point, what MySQL says is enough to go on:
// Rebuild again, or Open for an epoch that is active and unopened. It waits for the log to be drained for as long as ctx
// lives.
func (f *Fence) Rebuild(ctx context.Context, campaigns []coupon.Campaign, mode coupon.Mode) error {
	fencing, loading := split(campaigns)
	var takenOver error
	var taking sync.WaitGroup
	taking.Go(func() { takenOver = f.rebuildAll(ctx, loading, mode, f.Now().Add(viewsGone)) })
	fencing, failure := f.begin(ctx, fencing)
	earliest := f.Now().Add(viewsGone)
	if err := f.drain(ctx, fencing, mode); err != nil {
		failure, fencing = errors.Join(failure, err), nil
	}
	f.stands.Store("the campaigns are closed, loaded and opened")
	failure = errors.Join(failure, f.rebuildAll(ctx, fencing, mode, earliest))
	taking.Wait()
	return errors.Join(failure, takenOver)
}

// Open lets an epoch grant that is active in MySQL and loaded in Redis (F8), and removes the keys of those before it. The
// caller has seen it active for 2 s, so that no server's view of the old epoch is left.
func (f *Fence) Open(ctx context.Context, c coupon.Campaign) error {
	return doing("open", c.ID, f.open(ctx, c.Document()))
}

func split(campaigns []coupon.Campaign) (fencing, loading []coupon.Campaign) {
	for _, c := range campaigns {
		if c.EpochState == coupon.EpochLoading {
			loading = append(loading, c)
			continue
		}
		fencing = append(fencing, c)
	}
	return fencing, loading
}

// begin is F1: from its commit on nothing of the epochs is confirmed. It returns the campaigns that are fencing. One
// statement serves all, or one for each where that got no answer: a row that is locked must not keep the others.
func (f *Fence) begin(ctx context.Context, campaigns []coupon.Campaign) ([]coupon.Campaign, error) {
	if len(campaigns) == 0 {
		return nil, nil
	}
	f.stands.Store("the fence is begun")
	fencing, err := f.beginAll(ctx, campaigns)
	if coupon.CodeOf(err) == coupon.CodeUnavailable && len(campaigns) > 1 {
		fencing, err = f.beginEach(ctx, campaigns)
	}
	if len(fencing) > 0 {
		failpoint.Hit(failpoint.FenceBegun)
	}
	return fencing, err
}

func (f *Fence) beginAll(ctx context.Context, campaigns []coupon.Campaign) ([]coupon.Campaign, error) {
	refs := make([]coupon.EpochRef, len(campaigns))
	byRef := make(map[coupon.EpochRef]coupon.Campaign, len(campaigns))
	for i, c := range campaigns {
		refs[i] = c.Ref()
		byRef[refs[i]] = c
	}
	refs, err := f.record.BeginFence(ctx, refs)
	if err != nil {
		return nil, fmt.Errorf("begin a fence: %w", err)
	}
	fencing := make([]coupon.Campaign, 0, len(refs))
	for _, ref := range refs {
		fencing = append(fencing, byRef[ref])
	}
	return fencing, nil
}

func (f *Fence) beginEach(ctx context.Context, campaigns []coupon.Campaign) (fencing []coupon.Campaign, err error) {
	var mu sync.Mutex
	err = each(campaigns, func(c coupon.Campaign) error {
		begun, err := f.beginAll(ctx, []coupon.Campaign{c})
		mu.Lock()
		defer mu.Unlock()
		fencing = append(fencing, begun...)
		return doing("rebuild", c.ID, err)
	})
	return fencing, err
}

func (f *Fence) rebuildAll(ctx context.Context, campaigns []coupon.Campaign, mode coupon.Mode, earliest time.Time) error {
	return each(campaigns, func(c coupon.Campaign) error {
		return doing("rebuild", c.ID, f.rebuild(ctx, c, mode, earliest))
	})
}

// rebuild is F5 to F8 of one campaign.
func (f *Fence) rebuild(ctx context.Context, c coupon.Campaign, mode coupon.Mode, earliest time.Time) error {
	if mode == coupon.ModeSQL { // decides at once: not while servers still ask the Redis of the epoch that ends, which nobody fenced
		if err := wait(ctx, earliest.Sub(f.Now())); err != nil {
			return err
		}
	}
	next, err := f.end(ctx, c, mode)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.EpochClosed)
	if next.EpochState != coupon.EpochLoading {
		return nil // retired, or active in mode sql
	}
	document, err := f.load(ctx, next)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.EpochLoaded)
	if document, err = f.record.ActivateEpoch(ctx, document); err != nil {
		return err
	}
	failpoint.Hit(failpoint.EpochActive)
	if err := wait(ctx, earliest.Sub(f.Now())); err != nil {
		return err
	}
	return f.open(ctx, document)
}

// end is F5.
func (f *Fence) end(ctx context.Context, c coupon.Campaign, mode coupon.Mode) (coupon.Campaign, error) {
	if c.EpochState == coupon.EpochLoading {
		return f.record.TakeOverEpoch(ctx, c.Ref(), mode)
	}
	return f.record.CloseEpoch(ctx, c.Ref(), mode)
}

// open is F8.
func (f *Fence) open(ctx context.Context, d coupon.Document) error {
	if err := f.stock.Open(ctx, d); err != nil {
		return err
	}
	failpoint.Hit(failpoint.EpochUnlocked)
	return doing("discard the old keys", d.Campaign, f.stock.Discard(ctx, d.Campaign, d.Epoch))
}

// each calls do for every campaign, several at a time, and joins the errors.
func each(campaigns []coupon.Campaign, do func(coupon.Campaign) error) error {
	errs := make([]error, len(campaigns))
	room := make(chan struct{}, width)
	var all sync.WaitGroup
	for i, c := range campaigns {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			errs[i] = do(c)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func doing(what, campaign string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s of %s: %w", what, campaign, err)
}
