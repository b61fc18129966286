package simulation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/outbox"
	"github.com/seonchak/seonchak/pkg/simulated"
	"github.com/seonchak/seonchak/pkg/warden"
)

// consumer is one life of a consumer: one loop for each partition it owns, and a warden.
type consumer struct {
	*program
	log     *log
	record  *record
	planted bug

	mu    sync.Mutex
	parks int // how many of the next batches become failed events, as if their campaign's row were stuck
}

const (
	readAtOnce = 5
	retryAfter = 300 * time.Millisecond
)

// share is which partitions one of the consumers owns.
func share(i int) func(partition int) bool {
	return func(partition int) bool { return partition%consumers == i }
}

func (w *world) startConsumer(owns func(partition int) bool) *consumer {
	p, ctx := w.newProgram("consumer")
	stock, log, record := w.stores(p)
	c := &consumer{program: p, log: log, record: record, planted: w.planted}
	go c.run(ctx, owns)
	go w.watch(ctx, p.name, stock, log, record)
	return c
}

// watch runs the warden of one consumer until ctx ends.
func (w *world) watch(ctx context.Context, name string, stock *stock, log *log, record *record) {
	metrics := warden.NewMetrics(prometheus.NewRegistry())
	repair := fence.NewFence(record, stock, log, outbox.New(stock, log), fence.Options{Now: time.Now, Loaded: metrics.Loaded})
	_ = warden.New(warden.Parts{
		Record: record, Stock: stock, Fence: repair, Log: log, Pace: noPace{}, Now: time.Now, Metrics: metrics,
		Lead: func(ctx context.Context) (warden.Lead, error) {
			lead, err := record.Lead(ctx)
			if err != nil {
				return nil, err
			}
			return lead, nil
		},
		Logger: w.logger.With("program", name),
	}).Run(ctx)
}

// noPace is the pace of consumers that are never slowed down.
type noPace struct{}

func (noPace) Lift(bool) {}

// run reads its partitions from what was committed when it began.
func (c *consumer) run(ctx context.Context, owns func(partition int) bool) {
	var offsets []int64
	if await(ctx, retryAfter, func() (ok bool) {
		found, err := c.log.Committed(ctx)
		offsets = found
		return err == nil
	}) != nil {
		return
	}
	for partition, next := range offsets {
		if owns(partition) {
			go c.consume(ctx, partition, next)
		}
	}
}

// consume reads, issues, and commits after: as the worker does.
func (c *consumer) consume(ctx context.Context, partition int, next int64) {
	for {
		entries, err := c.log.Read(ctx, partition, next, readAtOnce)
		if err != nil {
			return
		}
		next += int64(len(entries))
		if c.planted == offsetFirst {
			_ = c.log.Commit(ctx, partition, next)
		}
		if c.settle(ctx, deliveries(partition, entries)) != nil {
			return
		}
		if await(ctx, retryAfter, func() bool { return c.log.Commit(ctx, partition, next) == nil }) != nil {
			return
		}
	}
}

func deliveries(partition int, entries []simulated.Entry) (claims []coupon.Delivery) {
	for _, e := range entries {
		if !e.Barrier {
			claims = append(claims, coupon.Delivery{Claim: e.Claim, Position: fmt.Sprint(partition, ":", e.Offset)})
		}
	}
	return claims
}

// settle issues or parks a batch, until the database has taken it.
func (c *consumer) settle(ctx context.Context, deliveries []coupon.Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	parks := c.takePark()
	return await(ctx, retryAfter, func() bool {
		return c.try(ctx, deliveries, parks) == nil || c.planted == swallowedError
	})
}

func (c *consumer) try(ctx context.Context, deliveries []coupon.Delivery, parks bool) error {
	if !parks {
		_, err := c.record.Issue(ctx, campaign, deliveries)
		return err
	}
	events := make([]coupon.FailedEvent, len(deliveries))
	for i, d := range deliveries {
		events[i] = coupon.FailedEvent{
			EventKey: d.Claim.EventKey(), Campaign: campaign, Epoch: d.Claim.Epoch, Claim: d.Claim,
			Reason: coupon.ReasonTransientExhausted, Status: coupon.FailurePending,
		}
	}
	return c.record.Park(ctx, events)
}

func (c *consumer) park(batches int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parks = batches
}

func (c *consumer) takePark() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parks == 0 {
		return false
	}
	c.parks--
	return true
}
