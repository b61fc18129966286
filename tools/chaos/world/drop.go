package world

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/seonchak/seonchak/tools/drop"
)

// Wish says what a drop is like.
type Wish struct {
	ID      string
	Limit   int
	Users   int     // who want one
	Workers int     // tries in flight
	Rate    float64 // applies a second
	Restock bool    // a cancelled coupon's place goes back to stock
	Seed    uint64
}

// Drop is a campaign and the crowd that wants its coupons.
type Drop struct {
	Wish
	Journal *drop.Journal

	world   *World
	limiter *rate.Limiter
	mu      sync.Mutex
	plan    []drop.Apply
	next    int
	random  *rand.Rand
	ending  bool
}

// tryBound is how long a user waits for an answer.
const tryBound = 3 * time.Second

// OpenDrop creates a campaign that runs now, and returns when every server takes applies for it.
func (w *World) OpenDrop(ctx context.Context, wish Wish) (*Drop, error) {
	now := time.Now().UTC()
	const window = 3 * time.Hour // wide enough for a clock that is an hour wrong
	status, answer, err := w.Operate(ctx, http.MethodPost, "/campaigns", map[string]any{
		"id": wish.ID, "name": "Chaos", "limit": wish.Limit, "status": "active", "restock_on_cancel": wish.Restock,
		"starts_at": now.Add(-window).Format(time.RFC3339), "ends_at": now.Add(window).Format(time.RFC3339),
	})
	if err != nil {
		return nil, err
	}
	if status != http.StatusCreated && status != http.StatusConflict { // somebody's second try
		return nil, fmt.Errorf("create campaign %s: %d: %s", wish.ID, status, answer)
	}
	journal, err := drop.OpenJournal(filepath.Join(w.Site.Dir, "journal-"+wish.ID+".jsonl"))
	if err != nil {
		return nil, err
	}
	const clicks = 1.4 // applies a user, double clicks included
	d := &Drop{
		Wish: wish, Journal: journal, world: w, limiter: rate.NewLimiter(rate.Limit(wish.Rate), wish.Workers),
		plan:   drop.Plan(drop.Users(wish.Users), int(clicks*float64(wish.Users)), wish.Seed),
		random: rand.New(rand.NewPCG(wish.Seed, 1)),
	}
	return d, d.awaitOpen(ctx)
}

func (d *Drop) awaitOpen(ctx context.Context) error {
	const bound = 20 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for _, server := range d.world.Servers {
		err := Await(ctx, "campaign "+d.ID+" is open", func() bool {
			_, answer, _ := Call(ctx, http.MethodGet, server.URL+"/v1/campaigns/"+d.ID, "", nil)
			var seen struct{ Availability string }
			return json.Unmarshal(answer, &seen) == nil && seen.Availability == "open"
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// crowd is people who insist on an answer.
func (d *Drop) crowd() *drop.Crowd {
	options := drop.Options{Campaign: d.ID, Connections: d.Workers, Insist: true, Timeout: tryBound}
	for _, server := range d.world.Servers {
		options.Servers = append(options.Servers, server.URL)
	}
	return drop.NewCrowd(options, d.Journal)
}

// Run lets the crowd apply until End was called and everybody has come at least once. Who comes when all have been there
// is somebody who has an answer already.
func (d *Drop) Run(ctx context.Context) error {
	crowd := d.crowd()
	defer crowd.Close()
	return crowd.Follow(ctx, d.follow)
}

func (d *Drop) follow(ctx context.Context) (drop.Apply, bool) {
	if d.limiter.Wait(ctx) != nil {
		return drop.Apply{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next < len(d.plan) {
		d.next++
		return d.plan[d.next-1], true
	}
	return d.plan[d.random.IntN(len(d.plan))], !d.ending
}

// End lets the crowd come to its end, from here on as fast as it can.
func (d *Drop) End() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending = true
	d.limiter.SetLimit(rate.Inf)
}

// Return lets users apply once more, as fast as they can, and returns how many were promised a place for the first time.
func (d *Drop) Return(ctx context.Context, applies []drop.Apply) (int64, error) {
	before, _ := d.Journal.Promises()
	crowd := d.crowd()
	defer crowd.Close()
	err := crowd.Run(ctx, applies)
	after, _ := d.Journal.Promises()
	return after - before, err
}

// last returns the last answer of every claim.
func (d *Drop) last() map[drop.Apply]drop.Answer {
	last := map[drop.Apply]drop.Answer{}
	for _, a := range d.Journal.Answers() {
		last[drop.Apply{User: a.User, N: a.N}] = a
	}
	return last
}

// Unserved returns who has no promise yet.
func (d *Drop) Unserved() (without []drop.Apply) {
	promised := map[drop.Apply]bool{}
	for _, a := range d.Journal.Answers() {
		who := drop.Apply{User: a.User, N: a.N}
		promised[who] = promised[who] || a.Binding()
	}
	for who, served := range promised {
		if !served {
			without = append(without, who)
		}
	}
	return without
}

// Waiting returns who has no promise and was last told neither yes nor no.
func (d *Drop) Waiting() (open []drop.Apply) {
	last := d.last()
	for _, who := range d.Unserved() {
		if last[who].HTTP < http.StatusMultipleChoices {
			open = append(open, who)
		}
	}
	return open
}

// Everybody returns every claim that anybody applied for.
func (d *Drop) Everybody() (all []drop.Apply) {
	for apply := range d.last() {
		all = append(all, apply)
	}
	return all
}

// Granted returns how many promises were given so far.
func (d *Drop) Granted() int64 {
	n, _ := d.Journal.Promises()
	return n
}

// FirstGrantAfter returns when somebody without a promise was given one by an apply sent after that instant;
// zero when nobody was. What was on its way before proves nothing.
func (d *Drop) FirstGrantAfter(instant time.Time) time.Time {
	promised := map[drop.Apply]bool{}
	for _, a := range d.Journal.Answers() {
		who := drop.Apply{User: a.User, N: a.N}
		if !a.Binding() || promised[who] {
			continue
		}
		promised[who] = true
		if a.Sent.After(instant) {
			return a.Received
		}
	}
	return time.Time{}
}

// Close closes the journal. What was told can still be read.
func (d *Drop) Close() error { return d.Journal.Close() }

// Holders returns who has a promise, in the order of the promises.
func (d *Drop) Holders() (holders []drop.Apply) {
	for _, a := range d.Journal.Answers() {
		if a.Binding() && !a.Replayed {
			holders = append(holders, drop.Apply{User: a.User, N: a.N})
		}
	}
	return holders
}
