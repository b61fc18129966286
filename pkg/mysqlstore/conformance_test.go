package mysqlstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/simulated"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// steps is how many operations one check draws: 100 checks, the default of -rapid.checks, are 3,000 of them. Each compares
// its reply, and all that the record holds after it.
const steps = 30

// record is what both must do alike.
type record interface {
	CreateCampaign(ctx context.Context, c coupon.Campaign) error
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
	View(ctx context.Context) ([]coupon.Campaign, error)
	Watched(ctx context.Context) ([]coupon.Campaign, error)
	Standings(ctx context.Context, ids []string) (map[string]coupon.Standing, error)
	CouponsOf(ctx context.Context, campaign string, keys []coupon.Key) ([]coupon.Coupon, error)
	FailuresOf(ctx context.Context, campaign string, keys []coupon.Key) (map[coupon.Key]coupon.FailureStatus, error)
	CarriedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, int64, error)
	IssuedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, error)

	Issue(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error)
	Direct(ctx context.Context, campaign string, epoch int64, claims []coupon.Claim) ([]coupon.Settled, error)
	Park(ctx context.Context, events []coupon.FailedEvent) error

	WantFence(ctx context.Context, id string) (coupon.Campaign, error)
	BeginFence(ctx context.Context, refs []coupon.EpochRef) ([]coupon.EpochRef, error)
	BeginEpoch(ctx context.Context, id string, mode coupon.Mode) (coupon.Campaign, error)
	CloseEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error)
	TakeOverEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error)
	TouchEpoch(ctx context.Context, ref coupon.EpochRef) error
	ActivateEpoch(ctx context.Context, doc coupon.Document) (coupon.Document, error)

	SetStatus(ctx context.Context, id string, to coupon.CampaignStatus) (coupon.Campaign, error)
	UpdateCampaign(ctx context.Context, id string, version int64, change coupon.CampaignChange) (coupon.Campaign, error)
	RaiseLimit(ctx context.Context, id string, delta int64, reason, actor string) (coupon.Campaign, error)
	RaiseWanted(ctx context.Context, ref coupon.EpochRef, version, seen int64) (coupon.Campaign, error)
	BeginLowering(ctx context.Context, id string, delta int64, reason, actor string) (coupon.Campaign, error)
	FinishLowering(ctx context.Context, doc coupon.Document, taken bool) (coupon.Campaign, error)
	Cancel(ctx context.Context, key coupon.Key, reason string) (coupon.Coupon, coupon.Campaign, error)
}

// model is a record that can be looked at from outside.
type model interface {
	record
	Look(id string) (c coupon.Campaign, rows []coupon.Coupon, failures []coupon.FailedEvent, kept int64)
	Epochs(id string) []simulated.Epoch
	Ledger(id string) []coupon.Adjustment
}

var (
	_ record = (*Store)(nil)
	_ model  = (*simulated.Record)(nil)
)

// The real transactions on a real database leave and answer what the state machine does, which all simulations rest on.
func TestConformance(t *testing.T) {
	t.Parallel()
	b := private(t)
	compared := 0
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		h := newHarness(rt, b, func(m *simulated.Record) model { return m })
		h.seen = seen
		err := h.run()
		compared += h.compared
		require.NoError(rt, err)
	})
	t.Logf("%d replies and states compared: %v", compared, seen)
	if testing.Short() {
		return
	}
	require.Greater(t, compared, 5_000)
	for _, what := range expected {
		require.Positive(t, seen[what], "%q was never drawn", what)
	}
}

// expected are often enough to be seen in every run. What else happened is in the log.
var expected = []string{
	"issued", "issued serial_taken", "duplicate", "void", "stale", "parked serial_taken",
	"dead serial_out_of_range", "dead per_user_limit",
	"direct 1 issued", "direct 2 issued", "direct 2 pending", "direct 3", "direct 8",
	string(coupon.CodeCampaignNotFound), string(coupon.CodeInvalidTransition), string(coupon.CodeUnavailable),
	string(coupon.CodeLimitBelowClaimed), string(coupon.CodeValidationFailed), string(coupon.CodeVersionMismatch),
	string(coupon.CodeClaimNotFound),
}

// A comparison that no wrong model fails is none.
func TestConformanceCatchesAWrongModel(t *testing.T) {
	t.Parallel()
	wrong := map[string]func(*simulated.Record) model{
		"gives serials again":             flawed(simulated.Flaws{SerialsAgain: true}),
		"sells the places that are kept":  flawed(simulated.Flaws{SoldTwice: true}),
		"issues claims of closed epochs":  flawed(simulated.Flaws{NoEpochCheck: true}),
		"issues one by one":               func(m *simulated.Record) model { return hasty{m} },
		"returns every place":             func(m *simulated.Record) model { return generous{m} },
		"closes what is not fenced first": func(m *simulated.Record) model { return closer{m} },
	}
	for name, spoiled := range wrong {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := private(t)
			var caught error
			compared := 0
			rapid.Check(t, func(rt *rapid.T) {
				if caught != nil {
					return
				}
				h := newHarness(rt, b, spoiled)
				caught = h.run()
				compared += h.compared
			})
			require.Error(t, caught)
			t.Logf("caught after %d replies and states: %v", compared, caught)
		})
	}
}

// private gives a store with a database of its own and one connection, whose clock the test sets.
func private(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{tb: t, dsn: testenv.MySQL(t), clock: &clock{}}
	s, err := Open(b.dsn, Options{Now: b.clock.now, MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	s.DB().SetConnMaxLifetime(0) // a new connection would have the time of day
	s.DB().SetConnMaxIdleTime(0)
	b.Store = s
	return b
}

// harness drives one campaign on a real database and on the model. It draws operations and hands both the same; both have
// the clock of the harness.
type harness struct {
	rt       *rapid.T
	ctx      context.Context // never ends: nothing watches over single calls
	real     side
	model    side
	store    *Store
	book     model
	clock    *clock
	compared int
	seen     map[string]int // what happened, for knowing that it all did

	id     string
	claims []coupon.Claim // all that were ever delivered
	wishes []coupon.Document
	serial map[int64]int64 // the last one drawn of each epoch

	delivered int
}

// side is one of the two: its failed events have ids of its own.
type side struct {
	record
	failures []int64
}

func newHarness(rt *rapid.T, b *bundle, spoiled func(*simulated.Record) model) *harness {
	h := &harness{
		rt: rt, ctx: context.WithoutCancel(rt.Context()), store: b.Store, clock: b.clock, seen: map[string]int{},
		id: testenv.Campaign(), serial: map[int64]int64{},
	}
	h.book = spoiled(simulated.NewRecord(b.clock.now, nil))
	h.real, h.model = side{record: b.Store}, side{record: h.book}
	return h
}

func (h *harness) run() error {
	if err := h.pass(time.Millisecond); err != nil {
		return err
	}
	if err := h.create(); err != nil {
		return err
	}
	if err := h.sameState(); err != nil {
		return err
	}
	names := rapid.SampledFrom(weighted)
	for range steps {
		name := names.Draw(h.rt, "operation")
		if err := operations[name].do(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := h.sameState(); err != nil {
			return fmt.Errorf("after %s: %w", name, err)
		}
	}
	if err := h.balanced(); err != nil {
		return err
	}
	// Nobody's view has it any more, and checks stay as fast as the first.
	_, err := h.store.DB().ExecContext(h.ctx, "DELETE FROM campaigns WHERE slug = ?", h.id)
	return err
}

// pass lets time pass, for the store and its database too.
func (h *harness) pass(d time.Duration) error {
	h.clock.advance(d)
	now := h.clock.now()
	_, err := h.store.DB().ExecContext(h.ctx,
		fmt.Sprintf("SET timestamp = %d.%06d", now.Unix(), now.Nanosecond()/int(time.Microsecond)))
	return err
}

// same asks both sides the same, and compares the replies.
func (h *harness) same(asked any, ask func(s side) (any, error)) error {
	got, want := answerOf(ask(h.real)), answerOf(ask(h.model))
	h.note(got)
	h.compared++
	if assert.ObjectsAreEqual(want, got) {
		return nil
	}
	return fmt.Errorf("asked %+v\nthe database says %+v\nthe model         %+v", asked, got, want)
}

// note counts what happened.
func (h *harness) note(a answer) {
	if a.Refusal != "" {
		h.seen[a.Refusal]++
	}
	switch v := a.Value.(type) {
	case []coupon.Result:
		for _, r := range v {
			h.seen[strings.TrimSpace(fmt.Sprint(r.Outcome, " ", r.Reason))]++
		}
	case []settled:
		for _, s := range v {
			h.seen[strings.TrimSpace(fmt.Sprint("direct ", s.Verdict, " ", s.Status))]++
		}
	}
}
