package trial

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/seonchak/seonchak/tools/lab/serve"
	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/procs"
)

// Result is what a trial came to.
type Result struct {
	Case
	Verdict    Verdict `json:"verdict"`
	Crashed    bool    `json:"crashed"`  // a server died; a slow strategy may not come to it
	SoldOut    bool    `json:"sold_out"` // somebody was told that all are gone; a slow strategy may not come to it
	Answered   int     `json:"answered"` // applies that had a final answer
	Granted    int     `json:"granted"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"per_second"`   // answers
	GrantsRate float64 `json:"grants_per_s"` // until the last grant
	LastRow    float64 `json:"last_row_s"`   // from the first try to the last row: a promise may come before its row
	P50        float64 `json:"p50_ms"`       // from the first try to the answer
	P99        float64 `json:"p99_ms"`
	Repeats    int64   `json:"repeats"` // of the users, who had no answer or were told to come again
	Retries    int64   `json:"retries"` // of the servers; what the product does is not known
	Deadlocks  int64   `json:"deadlocks"`
	TimeOuts   int64   `json:"time_outs"`
	LockWaits  int64   `json:"lock_waits"`     // for rows of the database server, of everybody
	LockWaited int64   `json:"lock_waited_ms"` // by all of them together
	Statements float64 `json:"statements_per_grant"`
	OtherP50   float64 `json:"other_p50_ms"` // of an unrelated query until the last grant
	OtherP99   float64 `json:"other_p99_ms"`
	RowsP50    float64 `json:"rows_p50_ms"` // of the same query until the last row
	RowsP99    float64 `json:"rows_p99_ms"`
	Memory     int64   `json:"redis_bytes"`
}

// Tried reports whether the trial came to what it is held for: the crash, and in a drop the limit. What went wrong before
// the limit counts all the same.
func (r Result) Tried() bool {
	limited := r.Workload == Drop || r.Workload == DoubleClick
	return r.Crashed == r.Crash && (!limited || r.SoldOut || !r.Verdict.Right())
}

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

// OpenAccount gives the user of Contention an account.
func (g *Ground) OpenAccount(ctx context.Context) error {
	_, err := g.DB.ExecContext(ctx, `INSERT INTO points (user, points, grade) VALUES (?, 0, 0)`, account)
	return err
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

// cost is what a crowd took of the machine.
type cost struct {
	took     time.Duration
	lastRow  time.Duration // until the last row was there
	database status
	granting []time.Duration // latencies of an unrelated query until the last grant
	writing  []time.Duration // and until the last row
}

// expense lets the crowd come, waits until nothing is under way any more, and returns what that took.
func (c *Crowd) expense(ctx context.Context, options Options, which Case, t target, dsn string) (spent cost, err error) {
	other, err := startProbe(ctx, dsn)
	if err != nil {
		return cost{}, err
	}
	defer func() { _, _ = other.stop() }()
	before, err := statusOf(ctx, other.db)
	if err != nil {
		return cost{}, err
	}
	begin := time.Now()
	here, gone := context.WithCancel(ctx)
	crash := c.crash(here, which, t)
	c.comeFor(ctx, options, which)
	spent.took = time.Since(begin)
	gone()
	if err := errors.Join(ctx.Err(), <-crash); err != nil {
		return cost{}, err
	}
	lastRow, err := t.rest(ctx, c.promised())
	if err != nil {
		return cost{}, err
	}
	first, lastGrant := c.granting()
	if lastRow.Before(lastGrant) {
		lastRow = lastGrant // they are one
	}
	spent.lastRow = max(0, lastRow.Sub(begin)) // there may be none
	after, err := statusOf(ctx, other.db)
	if err != nil {
		return cost{}, err
	}
	asked, err := other.stop()
	spent.database = after.minus(before)
	spent.database.statements -= int64(len(asked))
	spent.granting, spent.writing = dueWithin(asked, first, lastGrant), dueWithin(asked, first, lastRow)
	return spent, err
}

// granting returns when the first user came and when the last grant did; the zero time if there was none.
func (c *Crowd) granting() (first, last time.Time) {
	for _, t := range c.tries {
		if first.IsZero() || t.sent.Before(first) {
			first = t.sent
		}
		if t.outcome == strategy.Granted && t.received.After(last) {
			last = t.received
		}
	}
	return first, last
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

// promised counts the users who were told that they have a place.
func (c *Crowd) promised() int {
	users := map[string]bool{}
	for _, t := range c.tries {
		if t.holder() {
			users[t.user] = true
		}
	}
	return len(users)
}

func (c *Crowd) result(which Case, took time.Duration, r Record) Result {
	result := Result{Case: which, Answered: len(c.visits), Granted: int(c.granted.Load()), Seconds: took.Seconds()}
	result.PerSecond = float64(len(c.visits)) / took.Seconds()
	result.Repeats = c.repeats.Load()
	result.P50, result.P99 = percentile(c.visits, 50), percentile(c.visits, 99)
	result.Verdict = c.verdict(which, r)
	result.SoldOut = slices.ContainsFunc(c.tries, func(t try) bool { return t.outcome == strategy.SoldOut })
	if first, last := c.granting(); result.Granted > 0 {
		result.GrantsRate = float64(result.Granted) / last.Sub(first).Seconds()
	}
	return result
}

func (c *Crowd) verdict(which Case, r Record) Verdict {
	switch which.Workload {
	case Contention:
		return judgePoints(c.tries, r)
	case Booking:
		return judgeSeat(c.tries, r)
	}
	return judge(which.Limit, c.tries, r)
}

// status is what the database server counts, of everybody.
type status struct{ statements, lockWaits, lockWaited int64 }

func (s status) minus(before status) status {
	return status{s.statements - before.statements, s.lockWaits - before.lockWaits, s.lockWaited - before.lockWaited}
}

func statusOf(ctx context.Context, db *sql.DB) (s status, err error) {
	for name, count := range map[string]*int64{
		"Questions": &s.statements, "Innodb_row_lock_waits": &s.lockWaits, "Innodb_row_lock_time": &s.lockWaited,
	} {
		if err := db.QueryRowContext(ctx, `SHOW GLOBAL STATUS LIKE '`+name+`'`).Scan(&name, count); err != nil {
			return status{}, fmt.Errorf("status %s: %w", name, err)
		}
	}
	return s, nil
}
