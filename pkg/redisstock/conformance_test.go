package redisstock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/pkg/simulated"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// steps is how many operations one check draws: 100 checks, the default of -rapid.checks, compare more than 20,000 replies.
const steps = 200

// model is what the scripts are held to.
type model interface {
	Claim(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error)
	Held(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error)
	Forget(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) error
	TakePending(ctx context.Context, campaign string, epoch int64, take coupon.Take) ([]coupon.Claim, error)
	Prepare(ctx context.Context, doc coupon.Document) error
	Load(ctx context.Context, ref coupon.EpochRef, claims []coupon.Claim, mark coupon.Mark) error
	Loaded(ctx context.Context, ref coupon.EpochRef) (int64, error)
	Open(ctx context.Context, doc coupon.Document) error
	Push(ctx context.Context, doc coupon.Document) (coupon.Pushed, error)
	Fence(ctx context.Context, ref coupon.EpochRef) (bool, error)
	Discard(ctx context.Context, campaign string, before int64) error
	Look(ctx context.Context, campaigns []*coupon.Campaign) []coupon.Health
	Levels(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error)
	Seal(ctx context.Context, campaign string) (string, error)
	Holders(ctx context.Context, ref coupon.EpochRef, hi int64, cursor uint64) ([]coupon.Key, int64, uint64, error)

	Restart(empty bool)
	Flush()
	DeleteKey(ref coupon.EpochRef, key simulated.StockKey)
	Clone() *simulated.Stock
	FailOver(replica *simulated.Stock)
}

// The real scripts on a real Redis answer every operation as the state machine does, which all simulations rest on.
func TestConformance(t *testing.T) {
	t.Parallel()
	client, stock := private(t)
	compared := 0
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		h := newHarness(rt, client, stock, func(m *simulated.Stock) model { return m })
		h.seen = seen
		err := h.run()
		compared += h.compared
		require.NoError(rt, err)
	})
	t.Logf("%d replies compared: %v", compared, seen)
	if testing.Short() {
		return
	}
	require.Greater(t, compared, 20_000)
	for verdict := coupon.Granted; verdict <= coupon.Broken; verdict++ {
		require.Positive(t, seen[fmt.Sprint("verdict ", verdict)], "verdict %d was never drawn", verdict)
	}
	for _, state := range []coupon.HealthState{coupon.Sound, coupon.Unopened, coupon.Lost} {
		require.Positive(t, seen[fmt.Sprint("health ", state)], "health %d was never drawn", state)
	}
	require.Positive(t, seen["holders"], "holders of a sold-out epoch were never read")
}

// A comparison that no wrong model fails is none.
func TestConformanceCatchesAWrongModel(t *testing.T) {
	t.Parallel()
	wrong := map[string]func(*simulated.Stock) model{
		"ignores the seal":        func(m *simulated.Stock) model { return sealless{m} },
		"does not fence":          func(m *simulated.Stock) model { return fenceless{m} },
		"forgets nothing":         func(m *simulated.Stock) model { return forgetless{m} },
		"discards the live epoch": func(m *simulated.Stock) model { return greedy{m} },
		"loads rows as carried":   func(m *simulated.Stock) model { return carrier{m} },
		"finds all sold out":      func(m *simulated.Stock) model { return seller{m} },
	}
	for name, spoiled := range wrong {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stock := private(t)
			var caught error
			compared := 0
			rapid.Check(t, func(rt *rapid.T) {
				if caught != nil {
					return
				}
				h := newHarness(rt, client, stock, spoiled)
				caught = h.run()
				compared += h.compared
			})
			require.Error(t, caught)
			t.Logf("caught after %d replies: %v", compared, caught)
		})
	}
}

// sealless opens epochs that any Redis may grant from.
type sealless struct{ *simulated.Stock }

func (m sealless) Open(ctx context.Context, doc coupon.Document) error {
	if own, err := m.Seal(ctx, doc.Campaign); err != nil || doc.Seal == own {
		doc.Seal = ""
	}
	return m.Stock.Open(ctx, doc)
}

// fenceless says that it fenced.
type fenceless struct{ *simulated.Stock }

func (m fenceless) Fence(ctx context.Context, ref coupon.EpochRef) (bool, error) {
	levels, err := m.Levels(ctx, []*coupon.Campaign{{ID: ref.Campaign, Epoch: ref.Epoch}})
	return levels[0].Epoch == ref.Epoch, err
}

// forgetless goes on publishing what is in the log.
type forgetless struct{ *simulated.Stock }

func (m forgetless) Forget(context.Context, string, int64, []coupon.Key) error { return nil }

// greedy is off by one.
type greedy struct{ *simulated.Stock }

func (m greedy) Discard(ctx context.Context, campaign string, before int64) error {
	return m.Stock.Discard(ctx, campaign, before+1)
}

// carrier lets a row never replace a carried claim.
type carrier struct{ *simulated.Stock }

func (m carrier) Load(ctx context.Context, ref coupon.EpochRef, claims []coupon.Claim, _ coupon.Mark) error {
	return m.Stock.Load(ctx, ref, claims, coupon.MarkCarried)
}

// seller tells nobody when the stock is not sold out.
type seller struct{ *simulated.Stock }

func (m seller) Holders(ctx context.Context, ref coupon.EpochRef, hi int64, cursor uint64) ([]coupon.Key, int64, uint64, error) {
	page, total, next, err := m.Stock.Holders(ctx, ref, hi, cursor)
	if errors.Is(err, redisstock.ErrNotSoldOut) {
		return nil, 0, 0, nil
	}
	return page, total, next, err
}

func private(t *testing.T) (redis.UniversalClient, *redisstock.Stock) {
	t.Helper()
	client, err := redisstock.NewClient(testenv.PrivateRedis(t).URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client, redisstock.New(client)
}

// seal is a replication id by its two names.
type seal struct{ real, model string }

// harness drives one campaign on a real Redis and on the model. It draws documents, batches and damage, and hands both
// the same; the model's clock is the one the real replies show.
type harness struct {
	rt       *rapid.T
	client   redis.UniversalClient
	stock    *redisstock.Stock
	model    model
	clock    time.Time
	compared int
	seen     map[string]int // what was drawn, for knowing that it all was

	doc   coupon.Document // of the last epoch that was opened; without its seal
	seal  seal            // of doc
	seals []seal          // all there ever were
	next  coupon.Document // of the last epoch that was prepared
	kept  *backup
}

func newHarness(rt *rapid.T, client redis.UniversalClient, stock *redisstock.Stock, spoiled func(*simulated.Stock) model) *harness {
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := &harness{rt: rt, client: client, stock: stock, clock: now, seen: map[string]int{}}
	h.model = spoiled(simulated.NewStock(func() time.Time { return h.clock }))
	h.doc = coupon.Document{
		Campaign: testenv.Campaign(), State: coupon.DocumentOpen, PerUserLimit: 2,
		OpensAt: now.Add(-time.Hour), ClosesAt: now.Add(time.Hour),
	}
	h.next = h.doc
	return h
}

func (h *harness) run() error {
	if err := h.client.FlushAll(h.rt.Context()).Err(); err != nil {
		return err
	}
	if err := h.rebuild(); err != nil {
		return err
	}
	names := rapid.SampledFrom(weighted)
	for range steps {
		name := names.Draw(h.rt, "operation")
		if err := operations[name].do(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return h.sweepAll()
}

// same compares the reply of one operation.
func (h *harness) same(asked, real, model any) error {
	h.compared++
	if assert.ObjectsAreEqual(model, real) {
		return nil
	}
	return fmt.Errorf("asked %+v\nRedis says %+v\nthe model  %+v", asked, real, model)
}

// answer is a reply with what callers may know of its error.
type answer struct {
	Value   any
	Refusal string
}

func answerOf(value any, err error) answer {
	for _, known := range []error{redisstock.ErrMissing, redisstock.ErrOtherEpoch, redisstock.ErrUnsealed, redisstock.ErrNotLoaded, redisstock.ErrNotSoldOut} {
		if errors.Is(err, known) {
			return answer{value, known.Error()}
		}
	}
	if err != nil {
		return answer{value, "unexpected: " + err.Error()}
	}
	return answer{Value: value}
}
