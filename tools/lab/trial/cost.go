package trial

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/tools/lab/strategy"
)

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
