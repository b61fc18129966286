package compare

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/load/witness"
	"github.com/seonchak/seonchak/tools/procs"
)

const (
	dropLimit  = 1_000
	dropUsers  = 100_000
	drainLimit = 10_000
	drainUsers = 20_000
	holders    = 1_000
	endless    = 1_000_000_000 // coupons
	mostUsers  = 100_000_000   // of all rounds of a path

	exchangeTimeout = 10 * time.Second
	restWithin      = 5 * time.Minute
	seed            = 1
)

// product prepares a path: the programs, a campaign in the state that the path needs, and the crowd.
func (c *comparison) product(ctx context.Context, path string) (*applicants, error) {
	crowd := &applicants{say: c.Say, asks: mostUsers, pids: []int{c.stage.Server.PID()}, options: drive.Options{
		Servers: []string{c.stage.Address()}, Campaigns: make([]string, 1), Users: arrival.NewUsers(seed),
		Connections: c.Connections, Timeout: exchangeTimeout, Secret: c.Stage.Secret,
	}}
	prepare := map[string]func(context.Context, *applicants) error{
		Refusal: c.refusal, Replay: c.replay, Grant: c.grant, Many: c.many, GrantConsumer: c.grantConsumer, Latency: c.grant, Backlog: c.pileUp,
		Drop:  func(ctx context.Context, a *applicants) error { return c.drop(ctx, a, dropLimit, dropUsers) },
		Drain: func(ctx context.Context, a *applicants) error { return c.drop(ctx, a, drainLimit, drainUsers) },
	}[path]
	if prepare == nil {
		return nil, fmt.Errorf("the path %q is none of %q", path, Paths)
	}
	return crowd, prepare(ctx, crowd)
}

// refusal counts only where the server answers from memory: a refusal that asks Redis is another path.
func (c *comparison) refusal(ctx context.Context, crowd *applicants) error {
	if err := c.soldOut(ctx, crowd); err != nil {
		return err
	}
	crowd.kinds = []told.Kind{told.SoldOut}
	crowd.fromMemory = func(ctx context.Context) (float64, error) { return refusedFromMemory(ctx, c.stage.Server.Admin) }
	c.users.next = holders
	crowd.source = func(*applicants) drive.Source { return &timed{Source: &c.users, lasts: c.Lasts} }
	return nil
}

// soldOut opens a campaign and gives all its coupons away.
func (c *comparison) soldOut(ctx context.Context, crowd *applicants) error {
	if err := c.open(ctx, crowd, holders); err != nil {
		return err
	}
	return c.grantFirst(ctx, crowd, holders)
}

func (c *comparison) replay(ctx context.Context, crowd *applicants) error {
	crowd.kinds, crowd.asks = []told.Kind{told.Replayed}, 0
	if _, err := c.consumer(ctx); err != nil {
		return err
	}
	if err := c.open(ctx, crowd, endless); err != nil {
		return err
	}
	users := &cycling{count: holders}
	crowd.source = func(*applicants) drive.Source { return &timed{Source: users, lasts: c.Lasts} }
	if err := c.grantFirst(ctx, crowd, holders); err != nil {
		return err
	}
	return c.stage.AwaitRest(ctx, crowd.options.Campaigns[0], holders)
}

// grant has a second campaign for the answer that the floors repeat: its row would be one that no round asked for.
func (c *comparison) grant(ctx context.Context, crowd *applicants) error {
	crowd.kinds = []told.Kind{told.Accepted} // "issued" is an answer without the log
	crowd.source = func(a *applicants) drive.Source {
		plan := a.watch(arrival.Plan{Users: mostUsers, Seed: seed})
		return &timed{Source: &among{Source: &c.users, plan: plan}, lasts: c.Lasts}
	}
	crowd.finish = func(ctx context.Context) error {
		if _, err := c.consumer(ctx); err != nil {
			return err
		}
		return c.judge(ctx, crowd)
	}
	if err := c.open(ctx, crowd, endless); err != nil {
		return err
	}
	var err error
	crowd.example, err = c.stage.Open(ctx, 1)
	return err
}

// many opens all campaigns before the first round; the example is none of them.
func (c *comparison) many(ctx context.Context, crowd *applicants) error {
	if err := c.grant(ctx, crowd); err != nil {
		return err
	}
	for len(crowd.options.Campaigns) < c.Hot {
		campaign, err := c.stage.Open(ctx, endless)
		if err != nil {
			return err
		}
		crowd.options.Campaigns = append(crowd.options.Campaigns, campaign)
	}
	for range c.Open - c.Hot { // beside the example, which is sold out by then
		if _, err := c.stage.Open(ctx, 1); err != nil {
			return err
		}
	}
	return nil
}

// grantConsumer waits after each round until all rows are there, so that the floor does not have the consumer beside it.
func (c *comparison) grantConsumer(ctx context.Context, crowd *applicants) error {
	consumer, err := c.consumer(ctx)
	if err != nil {
		return err
	}
	crowd.pids = append(crowd.pids, consumer.PID())
	crowd.settle = func(ctx context.Context, r *Round) error {
		promised := crowd.options.Witness.Promised()
		rest, err := c.rest(ctx, crowd, int64(len(promised)))
		r.Drain = drain(promised, rest.LastRow)
		return err
	}
	if err := c.grant(ctx, crowd); err != nil {
		return err
	}
	crowd.finish = func(ctx context.Context) error { return c.judge(ctx, crowd) }
	return nil
}

// drop opens a campaign for each round, and judges each. Of the one with few coupons nearly all are refused, so its floor
// answers a refusal.
func (c *comparison) drop(ctx context.Context, crowd *applicants, limit int, users uint64) error {
	if err := c.soldOut(ctx, crowd); err != nil {
		return err
	}
	crowd.example = crowd.options.Campaigns[0]
	crowd.options.Campaigns = make([]string, 1)
	crowd.kinds = []told.Kind{told.Accepted, told.Issued, told.Replayed, told.SoldOut}
	consumer, err := c.consumer(ctx)
	if err != nil {
		return err
	}
	crowd.pids = append(crowd.pids, consumer.PID())
	rounds := uint64(seed)
	crowd.source = func(a *applicants) drive.Source {
		rounds++
		a.options.Users, a.options.Witness = arrival.NewUsers(rounds), nil
		a.watch(arrival.Plan{Users: users, Seed: rounds})
		return &span{end: users}
	}
	crowd.settle = func(ctx context.Context, r *Round) error {
		rest, err := c.rest(ctx, crowd, int64(limit))
		if err != nil {
			return err
		}
		promised := crowd.options.Witness.Promised()
		r.Drain = drain(promised, rest.LastRow)
		issued, err := c.issued(ctx, crowd)
		if err != nil {
			return err
		}
		r.Course = course(promised, issued)
		if err := c.judge(ctx, crowd); err != nil {
			return err
		}
		return c.open(ctx, crowd, limit)
	}
	return c.open(ctx, crowd, limit)
}

// drain is from the last promise to the last row, 0 when the row came first.
func drain(promised []time.Time, lastRow time.Time) *time.Duration {
	if len(promised) == 0 {
		return nil
	}
	took := max(0, lastRow.Sub(promised[len(promised)-1]))
	return &took
}

// rest waits until the consumer has finished everything and there are so many rows.
func (c *comparison) rest(ctx context.Context, crowd *applicants, rows int64) (drop.Rest, error) {
	return c.restOf(ctx, crowd, 0, rows)
}

func (c *comparison) restOf(ctx context.Context, crowd *applicants, campaign int, rows int64) (drop.Rest, error) {
	id := crowd.options.Campaigns[campaign]
	rest, err := drop.WaitForRest(ctx, c.stage.DB, id, drop.Wait{Rows: rows, Backlog: c.stage.Backlog})
	if err == nil && rest.Rows < rows {
		err = fmt.Errorf("campaign %s has %d rows of %d, and no more come", id, rest.Rows, rows)
	}
	return rest, err
}

func (c *comparison) judge(ctx context.Context, crowd *applicants) error {
	return crowd.judge(ctx, c.stage.DB, c.stage.Backlog)
}

// judge compares the rows with all that the crowd was told so far.
func (a *applicants) judge(ctx context.Context, db *sql.DB, backlog func(context.Context) (int64, error)) error {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	verdicts, err := a.options.Witness.Judge(ctx, db, backlog)
	if err != nil {
		return err
	}
	for _, verdict := range verdicts {
		if !verdict.OK() {
			return fmt.Errorf("the rows do not agree with the answers:\n%s", verdict)
		}
		a.judged += verdict.Issued
	}
	return nil
}

func (c *comparison) open(ctx context.Context, crowd *applicants, limit int) (err error) {
	crowd.options.Campaigns[0], err = c.stage.Open(ctx, limit)
	return err
}

func (c *comparison) consumer(ctx context.Context) (*procs.Consumer, error) {
	return c.stage.StartConsumer(ctx, "LOG_LEVEL=warn")
}

// grantFirst gives coupons to the users from 0. As long as somebody holds none they all apply again, some times.
func (c *comparison) grantFirst(ctx context.Context, crowd *applicants, count uint64) error {
	const tries = 10
	var result measure.Result
	for range tries {
		var err error
		if result, err = drive.New(crowd.options, &span{end: count}).Run(ctx, time.Time{}); err != nil {
			return err
		}
		if hold := result.Count(told.Accepted) + result.Count(told.Issued) + result.Count(told.Replayed); uint64(hold) == count {
			return nil
		}
	}
	return fmt.Errorf("of %d users some got no coupon: %v", count, result.Codes)
}

// watch gives the crowd a witness of a plan, unless it has one, and returns the plan for the crowd's campaigns. The crowd at
// a floor has a witness of its own, for nothing but to cost the client as much.
func (a *applicants) watch(plan arrival.Plan) arrival.Plan {
	plan.Profile, plan.Campaigns, plan.Even = arrival.Flat, len(a.options.Campaigns), true
	if a.options.Witness == nil {
		a.options.Witness = witness.New(plan, slices.Clone(a.options.Campaigns))
	}
	return plan
}

// issued returns when the rows were made, in order.
func (c *comparison) issued(ctx context.Context, crowd *applicants) (times []time.Time, err error) {
	rows, err := c.stage.DB.QueryContext(ctx, `SELECT issued_at FROM coupons
		WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?) ORDER BY issued_at`, crowd.options.Campaigns[0])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var at time.Time
		if err := rows.Scan(&at); err != nil {
			return nil, err
		}
		times = append(times, at)
	}
	return times, rows.Err()
}
