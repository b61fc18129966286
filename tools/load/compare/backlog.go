package compare

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/told"
)

const (
	spare      = 50                     // one more user for so many events, in the place of who is turned away
	warm       = 100_000                // rows after which a consumer holds what it needs
	watchEvery = 100 * time.Millisecond // a look costs the broker something
)

// Drained is how a consumer wrote the rows of a backlog that had waited for it.
type Drained struct {
	Events  int64         `json:"events"`   // that waited
	LastRow time.Duration `json:"last_ns"`  // from the start of the consumer to the last row, joining the group included
	Empty   time.Duration `json:"empty_ns"` // to when it had finished everything

	// What the consumer held, in bytes.
	Ready   int64 `json:"ready_bytes"`   // before the first event
	Warm    int64 `json:"warm_bytes"`    // after the first 100,000, or after all
	Highest int64 `json:"highest_bytes"` // ever
	End     int64 `json:"end_bytes"`
}

// backlog promises coupons while no consumer runs, starts one, and compares how fast it writes the rows with a multi-row
// INSERT of as many: by one connection, as a campaign's rows are. No round warms up: each has a consumer of its own, and
// takes minutes.
func (c *comparison) backlog(ctx context.Context, crowd *applicants) ([]Row, error) {
	plain, err := floor.OnMySQL(ctx, c.stage.DSN)
	if err != nil {
		return nil, fmt.Errorf("floor %s: %w", floor.MySQL, err)
	}
	plain.Lanes = 1
	c.closes = append(c.closes, plain.Close)
	all := []contender{
		{Backlog, func(ctx context.Context) (Round, error) { return c.pileUpAndDrain(ctx, crowd) }},
		{floor.MySQL, func(ctx context.Context) (Round, error) {
			rows, took, err := plain.Claims(ctx, int64(c.Events))
			return Round{Right: rows, Took: took}, err
		}},
	}
	results, err := coldTurns(ctx, c.Rounds, c.Say, all)
	table := rows(all, results, rateRatio)
	return table, c.finish(ctx, crowd, table, err)
}

// pileUp is a crowd that takes all coupons of one campaign, or some of each of several.
func (c *comparison) pileUp(_ context.Context, crowd *applicants) error {
	crowd.kinds = []told.Kind{told.Accepted, told.Issued}
	rounds := uint64(seed)
	crowd.source = func(a *applicants) drive.Source {
		rounds++
		users := uint64(c.Events + c.Events/spare)
		a.options.Users, a.options.Witness = arrival.NewUsers(rounds), nil
		plan := a.watch(arrival.Plan{Users: users, Seed: rounds})
		return &among{Source: &span{end: users}, plan: plan}
	}
	return nil
}

// pileUpAndDrain is a round of its own campaigns. Its answers are rows, and their time begins with the consumer.
func (c *comparison) pileUpAndDrain(ctx context.Context, crowd *applicants) (Round, error) {
	crowd.options.Campaigns = make([]string, c.Campaigns)
	for i := range crowd.options.Campaigns {
		var err error
		if crowd.options.Campaigns[i], err = c.stage.Open(ctx, c.Events); err != nil {
			return Round{}, err
		}
	}
	promised, err := crowd.round(ctx)
	if err != nil {
		return promised, err
	}
	if promised.Right < int64(c.Events) {
		return Round{}, fmt.Errorf("%d promised of %d", promised.Right, c.Events)
	}
	waiting, err := c.stage.Backlog(ctx)
	if err != nil {
		return Round{}, err
	}
	c.Say("%d promised, %.0f/s; %d events wait for the consumer\n", promised.Right, promised.Rate(), waiting)
	return c.drainAll(ctx, crowd, promised.Right, waiting)
}

func (c *comparison) drainAll(ctx context.Context, crowd *applicants, promised, waiting int64) (Round, error) {
	began := time.Now()
	consumer, err := c.consumer(ctx)
	if err != nil {
		return Round{}, err
	}
	d := Drained{Events: waiting}
	watched := watched{lag: c.stage.Backlog, memory: consumer.Memory, every: watchEvery}
	if err := watched.until(ctx, &d); err != nil {
		return Round{}, err
	}
	d.Empty = time.Since(began)
	used, err := processorTime([]int{consumer.PID()})
	if err != nil {
		return Round{}, err
	}
	var rows int64
	for i := range crowd.options.Campaigns {
		rest, err := c.restOf(ctx, crowd, i, 1)
		if err != nil {
			return Round{}, err
		}
		rows, d.LastRow = rows+rest.Rows, max(d.LastRow, rest.LastRow.Sub(began))
	}
	if rows < promised {
		return Round{}, fmt.Errorf("%d rows of %d, and no more come", rows, promised)
	}
	if err := consumer.Stop(); err != nil {
		return Round{}, err
	}
	return Round{Right: rows, Took: d.LastRow, Server: used, Drained: &d}, c.judge(ctx, crowd)
}

// watched is a consumer with a backlog. The rows are not counted meanwhile: that would cost the database as much as they do.
type watched struct {
	lag    func(context.Context) (int64, error)
	memory func() (now, peak int64, err error)
	every  time.Duration
}

// until notes what the consumer holds until it has finished everything.
func (w watched) until(ctx context.Context, d *Drained) error {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	ready, _, err := w.memory()
	if err != nil {
		return err
	}
	d.Ready = ready
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		left, err := w.lag(ctx)
		if err != nil {
			return err
		}
		if d.End, d.Highest, err = w.memory(); err != nil {
			return err
		}
		if done := d.Events - left; d.Warm == 0 && (done >= warm || left == 0) {
			d.Warm = d.End
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d events still wait: %w", left, ctx.Err())
		case <-tick.C:
		}
	}
}

// writeDrained writes a line for each backlog that was drained.
func writeDrained(w io.Writer, table []Row) error {
	const mega = 1e6
	for _, row := range table {
		for _, r := range row.Rounds {
			d := r.Drained
			if d == nil {
				continue
			}
			_, err := fmt.Fprintf(w, "%s events: the last row after %.1f s, nothing left after %.1f s; the consumer held %.0f MB when ready, "+
				"%.0f MB after %s rows, %.0f MB at the most, %.0f MB at the end\n", drop.Number(d.Events), d.LastRow.Seconds(), d.Empty.Seconds(),
				float64(d.Ready)/mega, float64(d.Warm)/mega, drop.Number(min(warm, d.Events)), float64(d.Highest)/mega, float64(d.End)/mega)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
