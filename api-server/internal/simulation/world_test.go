package simulation

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/simulated"
)

// The size of one simulated drop.
const (
	partitions = 3
	limit      = 30
	people     = 60
	servers    = 2
	consumers  = 2
	campaign   = "winter"
)

// world is one drop: the stores, the network between them and the programs, the programs, and what the users were told.
type world struct {
	seed    uint64
	planted bug
	network *simulated.Network
	stock   *simulated.Stock
	log     *simulated.Log
	record  *simulated.Record
	logger  *slog.Logger
	journal *journal
	broken  []string // invariants that a transaction broke, in words; the record's lock guards it

	servers   [servers]atomic.Pointer[server]
	consumers [consumers]atomic.Pointer[consumer]

	mu       sync.Mutex
	programs []*program     // all that were ever started
	lives    []*server      // the api-servers among them
	outages  map[string]int // how many faults keep a store away
}

// newWorld makes the stores. It must be called inside a bubble of testing/synctest, as everything else of a world.
func newWorld(seed uint64, planted bug, logs io.Writer) *world {
	w := &world{
		seed: seed, planted: planted, journal: newJournal(), outages: map[string]int{},
		network: simulated.NewNetwork(seed, simulated.Odds{Slow: 0.02, Mute: 0.01}),
		stock:   simulated.NewStock(time.Now), log: simulated.NewLog(partitions),
		logger: slog.New(slog.DiscardHandler),
	}
	if logs != nil {
		w.logger = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w.record = simulated.NewRecord(time.Now, w.checkRows)
	w.record.Flaws = planted.flaws()
	return w
}

// begin opens a campaign and starts the programs.
func (w *world) begin(ctx context.Context) error {
	now := time.Now()
	if err := w.record.CreateCampaign(ctx, coupon.Campaign{
		ID: campaign, Name: campaign, Limit: limit, PerUserLimit: 1, RestockOnCancel: true,
		StartsAt: now.Add(-time.Hour), EndsAt: now.Add(1000 * time.Hour),
	}); err != nil {
		return err
	}
	if err := w.openCampaign(ctx); err != nil {
		return err
	}
	for i := range w.servers {
		w.servers[i].Store(w.startServer())
	}
	for i := range w.consumers {
		w.consumers[i].Store(w.startConsumer(share(i)))
	}
	w.startBatch()
	return nil
}

// random returns a source of randomness of its own for whoever needs one, named by a number.
func (w *world) random(of uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, of)) }

// checkRows is asked after every transaction that made a row: I1 to I3.
func (w *world) checkRows(c *coupon.Campaign, rows []coupon.Coupon) {
	if c.Issued > c.Limit {
		w.broken = append(w.broken, fmt.Sprintf("I1: %d places taken of %d", c.Issued, c.Limit))
	}
	keys, serials := map[coupon.Key]bool{}, map[int64]bool{}
	for _, row := range rows {
		if keys[row.Key] {
			w.broken = append(w.broken, fmt.Sprintf("I2: %v has two rows", row.Key))
		}
		if serials[row.Serial] {
			w.broken = append(w.broken, fmt.Sprintf("I3: serial %d has two owners", row.Serial))
		}
		keys[row.Key], serials[row.Serial] = true, true
	}
}

// end kills everything and waits until every loop has seen it, so that the bubble can end.
func (w *world) end() {
	w.mu.Lock()
	programs := w.programs
	w.mu.Unlock()
	for _, p := range programs {
		p.crash()
	}
	_ = pass(context.Background(), time.Minute)
}

// await returns nil once ok, looking every so often in simulated time.
func await(ctx context.Context, every time.Duration, ok func() bool) error {
	for !ok() {
		if err := pass(ctx, every); err != nil {
			return err
		}
	}
	return nil
}

func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// between is a span of time, drawn to the nanosecond: what two programs do must not fall on one instant, or the scheduler
// decides which is first, and a seed is many schedules.
func between(random *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(random.Int64N(int64(to-from)))
}
