package trial

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/tools/lab/strategy"
)

// Record is what the stores hold at rest.
type Record struct {
	Rows    []string         // the users with a place, in the order of their rows
	Serials map[string]int64 // by user, where places are numbered
	Counted *int             // places as the strategy counts them itself; nil: it does not
	Decided map[string]bool  // of a queue: whose turn came
	Rewards map[string]int   // by user, where the reward is a call
	Points  int
	Grade   int
}

func (r Record) miscounted() int {
	if r.Counted == nil {
		return 0
	}
	return max(*r.Counted-len(r.Rows), len(r.Rows)-*r.Counted)
}

const (
	restWithin = 30 * time.Second
	restPoll   = 20 * time.Millisecond
)

// worker is the strategy if it works in the background, else nil.
func (g *Ground) worker() strategy.Worker {
	worker, _ := g.Spec.New(g.World()).(strategy.Worker)
	return worker
}

// Rest returns when the work in the background is done.
func (g *Ground) Rest(ctx context.Context) error {
	worker := g.worker()
	if worker == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	for {
		left, err := worker.Backlog(ctx)
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d are left to be done: %w: %w", left, ctx.Err(), err)
		case <-time.After(restPoll):
		}
	}
}

// Record reads the stores.
func (g *Ground) Record(ctx context.Context) (r Record, err error) {
	if r.Rows, err = column(ctx, g.DB, `SELECT user FROM grants ORDER BY id`); err != nil {
		return Record{}, err
	}
	if g.Spec.Counts {
		r.Counted = new(int)
		if err = g.DB.QueryRowContext(ctx, `SELECT granted FROM campaign`).Scan(r.Counted); err != nil {
			return Record{}, err
		}
	}
	rewarded, err := column(ctx, g.DB, `SELECT user FROM rewards`)
	if err != nil {
		return Record{}, err
	}
	if len(rewarded) > 0 {
		r.Rewards = map[string]int{}
	}
	for _, user := range rewarded {
		r.Rewards[user]++
	}
	err = g.DB.QueryRowContext(ctx, `SELECT COALESCE(MAX(points), 0), COALESCE(MAX(grade), 0) FROM points`).Scan(&r.Points, &r.Grade)
	if err != nil {
		return Record{}, err
	}
	r.Decided, err = decided(ctx, g.Redis, g.Name)
	return r, err
}

func decided(ctx context.Context, client *redis.Client, name string) (map[string]bool, error) {
	users, err := client.HKeys(ctx, name+":"+strategy.Decided).Result()
	had := map[string]bool{}
	for _, user := range users {
		had[user] = true
	}
	return had, err
}

func column(ctx context.Context, db *sql.DB, query string, args ...any) (values []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, rows.Err()
}
