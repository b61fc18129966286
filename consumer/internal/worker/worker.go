// Package worker turns the events of the log into coupons: fetch, group by campaign, issue, commit.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/planted"
)

// source is this consumer's share of the log. Fetch must return the records of a partition in order; Commit must cover
// everything up to the highest record of each partition, and is bounded in time by itself.
type source interface {
	Fetch(ctx context.Context) (kafkastream.Record, error)
	Commit(ctx context.Context, records []kafkastream.Record) error
}

// record is the database. Issue and Park must be idempotent: an error leaves it unknown whether they took place, and
// they are called again. Ping says whether the database answers at all. Issue and Ping must be safe for concurrent use.
type record interface {
	Issue(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error)
	Park(ctx context.Context, events []coupon.FailedEvent) error
	Ping(ctx context.Context) error
}

// Config bounds what one worker does at a time. Every field is needed.
type Config struct {
	Batch    int              // records handled together, and so the most rows of one statement
	Lanes    int              // campaigns of a batch that are issued side by side, each on a connection
	Rate     float64          // records per second, 0 for no limit
	Patience time.Duration    // how long a batch may be stuck in a database that answers before its claims become failed events
	Drain    time.Duration    // how long a stopping worker may take to finish the batch in hand
	Now      func() time.Time // the clock
}

// Worker handles one batch after another, so offsets are committed in order. The next batch is fetched and decoded
// meanwhile.
type Worker struct {
	source  source
	record  record
	config  Config
	pace    *Pace
	failing map[string]time.Time // campaigns that fail while the database answers, and since when
	metrics *Metrics
	logger  *slog.Logger

	fetchTrouble, issueTrouble, panics rate.Sometimes // each is logged now and then, not every time
}

// New returns a Worker over the log and the database.
func New(source source, record record, config Config, metrics *Metrics, logger *slog.Logger) *Worker {
	return &Worker{
		source: source, record: record, config: config, metrics: metrics, logger: logger,
		pace:         newPace(config.Rate, config.Batch),
		failing:      map[string]time.Time{},
		fetchTrouble: rate.Sometimes{Interval: quiet},
		issueTrouble: rate.Sometimes{Interval: quiet},
		panics:       rate.Sometimes{Interval: quiet},
	}
}

// Run works until ctx ends, then finishes and commits the batch in hand within Config.Drain. What it did not commit is
// delivered again to whoever takes over the partitions. The error is the log's, when it cannot be read any more.
func (w *Worker) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	working, release := outlive(ctx, w.config.Drain)
	defer release()

	fetched := make(chan entry, 2*w.config.Batch)
	ended := make(chan error, 1)
	go func() {
		defer close(fetched)
		ended <- w.fetch(ctx, fetched)
	}()
	for {
		entries := w.take(ctx, fetched)
		if len(entries) == 0 {
			return <-ended
		}
		if err := w.handle(working, entries); err != nil {
			w.logger.Warn("stopped with a batch in hand, it will be delivered again", "records", len(entries), "error", err)
			stop()
			return <-ended
		}
	}
}

// take waits for a record and returns it with all that are queued behind it, up to a batch: small batches while the
// stream is thin, large ones when there is a crowd, and no timer. It returns nothing when ctx or the stream ended.
func (w *Worker) take(ctx context.Context, fetched <-chan entry) []entry {
	if ctx.Err() != nil {
		return nil
	}
	entries := make([]entry, 0, w.config.Batch)
	select {
	case e, open := <-fetched:
		if !open {
			return nil
		}
		entries = append(entries, e)
	case <-ctx.Done():
		return nil
	}
	for len(entries) < w.config.Batch {
		select {
		case e, open := <-fetched:
			if !open {
				return w.paced(ctx, entries)
			}
			entries = append(entries, e)
		default:
			return w.paced(ctx, entries)
		}
	}
	return w.paced(ctx, entries)
}

// paced returns the entries once the rate allows them, or nothing when ctx ends first: they were not begun.
func (w *Worker) paced(ctx context.Context, entries []entry) []entry {
	if w.pace.wait(ctx, len(entries)) != nil {
		return nil
	}
	failpoint.Hit(failpoint.Fetched)
	return entries
}

// Pace returns the limit on what the worker handles, which a fence lifts.
func (w *Worker) Pace() *Pace { return w.pace }

// handle commits the offsets of a batch after every transaction of it, never before: killed at any point in between, the
// batch is delivered again and its rows are duplicates. The error is ctx's, and then nothing is committed.
func (w *Worker) handle(ctx context.Context, entries []entry) error {
	if planted.On(planted.OffsetFirst) {
		w.commit(ctx, entries)
		return w.settle(ctx, w.sort(entries))
	}
	if err := w.settle(ctx, w.sort(entries)); err != nil {
		return err
	}
	failpoint.Hit(failpoint.Committed)
	w.commit(ctx, entries)
	return nil
}

// commit says that a batch is done. When that fails, the next commit covers it.
func (w *Worker) commit(ctx context.Context, entries []entry) {
	records := make([]kafkastream.Record, len(entries))
	for i, e := range entries {
		records[i] = e.record
	}
	if err := w.source.Commit(ctx, records); err != nil {
		w.logger.Warn("offsets were not committed, the next commit covers them", "records", len(records), "error", err)
	}
}

// outlive returns a context that ends the given time after ctx does.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		time.AfterFunc(by, func() { cancel(errDrained) })
	})
	return longer, func() {
		unhook()
		cancel(context.Canceled)
	}
}

var errDrained = errors.New("no time left to finish the batch")
