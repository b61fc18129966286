// Package apply is the use case behind the apply endpoint: claim in Redis, publish to the log, confirm in MySQL, answer;
// and one fallback for each of them that is away.
package apply

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/api-server/internal/soldout"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

// How long each store may take before the answer falls back to what is known without it. Whatever fails, an apply is
// answered within 2 s, and as a rule within 1 s: only calls that wait behind slow ones can take it further.
const (
	latestAnswer  = 1900 * time.Millisecond // after an apply's arrival; no call is made that could end later
	claimPatience = 800 * time.Millisecond  // waiting for the first call; after it the apply is refused as overloaded

	claimDeadline   = 150 * time.Millisecond
	sqlDeadline     = 800 * time.Millisecond
	publishDeadline = 500 * time.Millisecond
	directDeadline  = 500 * time.Millisecond
	confirmDeadline = 500 * time.Millisecond
	lookUpDeadline  = 500 * time.Millisecond
	forgetDeadline  = time.Second
	rejoinAfter     = time.Second           // how long after a claim call failed its campaign shares one again
	forgetRest      = 20 * time.Millisecond // between two calls: a claim may be pending a while longer, and fewer calls do
)

// How much one call may carry, where the operator has no say.
const (
	batchesTogether = 4 // how many full batches of claims one round trip may carry
	forgetBatch     = 512
	lookUpBatch     = 256
	directBatch     = 128
)

// stock decides who is in time. A batch of claims that fails leaves the outcome unknown. Holders must refuse every page unless
// the epoch is sold out at that hi at its instant.
type stock interface {
	ClaimAll(ctx context.Context, batches []coupon.Batch) []coupon.Decided
	Held(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error)
	ForgetAll(ctx context.Context, batches []coupon.Batch) error
	Holders(ctx context.Context, ref coupon.EpochRef, hi int64, cursor uint64) (page []coupon.Key, total int64, next uint64, err error)
}

// publisher makes a grant durable. It must never block and must call done exactly once: nil only when all in-sync
// replicas have the record, any error when that is unknown.
type publisher interface {
	Publish(claim coupon.Claim, deadline time.Time, done func(error))
}

// record is the database's word on epochs, rows and live failed events. Direct issues claims of an epoch in one
// transaction and settles each of them; one without a serial is a wish, to be decided there. It must be safe to repeat.
type record interface {
	Standings(ctx context.Context, campaigns []string) (map[string]coupon.Standing, error)
	CouponsOf(ctx context.Context, campaign string, keys []coupon.Key) ([]coupon.Coupon, error)
	FailuresOf(ctx context.Context, campaign string, keys []coupon.Key) (map[coupon.Key]coupon.FailureStatus, error)
	Direct(ctx context.Context, campaign string, epoch int64, claims []coupon.Claim) ([]coupon.Settled, error)
}

// Limits bound what one server takes on.
type Limits struct {
	Queue int // applies waiting or being worked on; above it they are refused as overloaded
	Batch int // claims of one campaign in one call to Redis
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

	lanes    sync.Map // campaign id → *lane
	soldOut  *soldout.Loader
	claims   turns
	trouble  atomic.Int64 // how many shared claim calls ran out of time, for all or for some
	confirms batcher[*ticket]
	lookUps  batcher[*ticket]
	forgets  batcher[coupon.Claim]
	inFlight *inFlight

	log      *logBreaker
	database *databaseBreaker
}

// NewService returns a Service over the view, the stock, the log and the record.
func NewService(view *View, stock stock, publisher publisher, record record, limits Limits, metrics *Metrics, logger *slog.Logger) *Service {
	s := &Service{
		view: view, stock: stock, publisher: publisher, record: record,
		limits: limits, metrics: metrics, logger: logger, inFlight: newInFlight(limits.Queue),
		soldOut: soldout.NewLoader(stock, logger),
		log:     &logBreaker{logger: logger}, database: &databaseBreaker{view: view},
	}
	s.claims = turns{
		perLane: limits.Batch, together: batchesTogether * limits.Batch, handle: s.decideTogether, rescue: s.rescueUnclaimed,
	}
	s.confirms = batcher[*ticket]{max: limits.Queue, handle: s.confirm, rescue: s.rescueGranted}
	s.lookUps = batcher[*ticket]{max: lookUpBatch, handle: s.lookUp, rescue: s.rescueGranted}
	s.forgets = batcher[coupon.Claim]{max: forgetBatch, rest: forgetRest, handle: s.forget, rescue: s.rescueAcked}
	return s
}

// Apply claims (campaign, user, n) and returns what may truthfully be said of it; a repeat returns the same claim. The
// error is a *coupon.Error, or ctx's when the caller left. A grant goes on to its end even when the caller leaves.
func (s *Service) Apply(ctx context.Context, key coupon.Key) (Answer, error) {
	arrived := time.Now()
	failpoint.Hit(failpoint.RequestRead)
	campaign, err := s.view.Find(ctx, key.Campaign)
	if err != nil {
		return Answer{}, err
	}
	if key.N > campaign.PerUserLimit {
		return Answer{}, errPerUserLimit
	}
	if campaign.Epoch == 0 {
		return Answer{}, neverOpened(campaign)
	}
	if s.refusesFromMemory(key, arrived) {
		return Answer{}, errSoldOut
	}
	if err := s.inFlight.enter(); err != nil {
		return Answer{}, err
	}
	t := &ticket{key: key, lane: s.lane(campaign), arrived: arrived, answer: make(chan result, 1)}
	s.claims.add(t)
	select {
	case r := <-t.answer:
		return r.answer, r.err
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

// neverOpened refuses an apply to a campaign in which nobody can have a claim.
func neverOpened(c *coupon.Campaign) error {
	if c.Status == coupon.CampaignClosed {
		return errEnded
	}
	return errCampaignNotFound
}

// Depth returns how many applies are waiting or being worked on.
func (s *Service) Depth() int { return s.inFlight.depth() }

// Drain takes no more applies and waits until every one taken is answered and every ack is forgotten, or ctx ends.
func (s *Service) Drain(ctx context.Context) error { return s.inFlight.drain(ctx) }

// rescueGranted answers tickets whose stage panicked after they were granted: they are pending, whatever else they are.
func (s *Service) rescueGranted(batch []*ticket, panicked any) {
	s.logPanic(panicked)
	s.finishAll(batch, coupon.StatusPending)
}

func (s *Service) rescueAcked(_ []coupon.Claim, panicked any) { s.logPanic(panicked) }

func (s *Service) logPanic(panicked any) {
	s.logger.Error("panic in a stage of the apply path", "panic", panicked, "stack", string(debug.Stack()))
}
