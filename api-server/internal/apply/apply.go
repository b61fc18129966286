// Package apply is the use case behind the apply endpoint: claim in Redis, publish to the log, confirm in MySQL, answer.
package apply

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// How long each store may take before the answer falls back to what is known without it.
const (
	claimDeadline   = 150 * time.Millisecond
	publishDeadline = 2 * time.Second
	confirmDeadline = time.Second
	forgetDeadline  = time.Second
)

// stock decides who is in time. A claim call that fails leaves the outcome unknown.
type stock interface {
	Claim(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error)
	Held(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error)
	Forget(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) error
}

// publisher makes a grant durable. It must never block and must call done exactly once: nil only when all in-sync
// replicas have the record, any error when that is unknown.
type publisher interface {
	Publish(claim coupon.Claim, deadline time.Time, done func(error))
}

// record is the database's word on epochs, rows and failed events.
type record interface {
	Standings(ctx context.Context, campaigns []string) (map[string]coupon.Standing, error)
	Coupon(ctx context.Context, key coupon.Key) (coupon.Coupon, bool, error)
	Failure(ctx context.Context, key coupon.Key) (coupon.FailureStatus, bool, error)
}

// Limits bound what one server takes on.
type Limits struct {
	Queue int // applies waiting or being worked on; above it they are refused as overloaded
	Batch int // claims in one call to Redis
}

// Service answers applies. Its stages are goroutine-free while idle and never depend on the caller staying.
type Service struct {
	view      *View
	stock     stock
	publisher publisher
	record    record
	limits    Limits
	metrics   *Metrics
	logger    *slog.Logger

	lanes    sync.Map // campaign id → *batcher[*ticket]
	confirms batcher[*ticket]
	forgets  batcher[coupon.Claim]

	depth    atomic.Int64
	inFlight sync.WaitGroup // tickets without an answer, and acks not yet forgotten
}

// NewService returns a Service over the view, the stock, the log and the record.
func NewService(view *View, stock stock, publisher publisher, record record, limits Limits, metrics *Metrics, logger *slog.Logger) *Service {
	s := &Service{
		view: view, stock: stock, publisher: publisher, record: record,
		limits: limits, metrics: metrics, logger: logger,
	}
	s.confirms = batcher[*ticket]{max: limits.Queue, handle: s.confirm}
	s.forgets = batcher[coupon.Claim]{max: 512, handle: s.forget}
	return s
}

// Apply claims (campaign, user, n) and returns what may truthfully be said of it; a repeat returns the same claim. The
// error is a *coupon.Error, or ctx's when the caller left. A grant goes on to its end even when the caller leaves.
func (s *Service) Apply(ctx context.Context, key coupon.Key) (Answer, error) {
	campaign, ok := s.view.Campaign(key.Campaign)
	if !ok {
		return Answer{}, errCampaignNotFound
	}
	if key.N > campaign.PerUserLimit {
		return Answer{}, errPerUserLimit
	}
	if s.depth.Add(1) > int64(s.limits.Queue) {
		s.depth.Add(-1)
		return Answer{}, errOverloaded
	}
	defer s.depth.Add(-1)
	t := &ticket{key: key, answer: make(chan result, 1)}
	s.inFlight.Add(1)
	s.lane(key.Campaign).add(t)
	select {
	case r := <-t.answer:
		return r.answer, r.err
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

// Depth returns how many applies are waiting or being worked on.
func (s *Service) Depth() int64 { return s.depth.Load() }

// Drain waits until every apply taken is answered and every ack is forgotten, or ctx ends. New applies must have
// stopped.
func (s *Service) Drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.inFlight.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) lane(campaign string) *batcher[*ticket] {
	if lane, ok := s.lanes.Load(campaign); ok {
		return lane.(*batcher[*ticket])
	}
	lane, _ := s.lanes.LoadOrStore(campaign, &batcher[*ticket]{
		max:    s.limits.Batch,
		handle: func(batch []*ticket) { s.claim(campaign, batch) },
	})
	return lane.(*batcher[*ticket])
}
