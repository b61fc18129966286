// Package reconcile compares what Redis, the log and MySQL say of every campaign. It changes nothing.
package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/batch/internal/campaigns"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// pause is how long a run that waits for rest lets pass between two looks.
const pause = 500 * time.Millisecond

// record is what MySQL holds. Campaigns lists by id, those after the given one.
type record interface {
	Campaigns(ctx context.Context, after string, limit int) ([]coupon.Campaign, error)
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
	Totals(ctx context.Context, campaign string) (coupon.Totals, error)
}

// stock is what Redis holds of one epoch at one instant.
type stock interface {
	Snapshot(ctx context.Context, campaign string, epoch int64) (redisstock.Snapshot, error)
}

// log is how far the consumers are.
type log interface {
	Lag(ctx context.Context, group, topic string) ([]kafkastream.PartitionLag, error)
}

// Options are what a run takes from outside. Every field but Wait must be set.
type Options struct {
	Group, Topic string
	Wait         time.Duration // how long work on its way may take to arrive; after it, it is a difference
	Now          func() time.Time
	Progress     func(done, total int) // in campaigns, of each look
}

// Job compares the stores.
type Job struct {
	record record
	stock  stock
	log    log
	Options
}

// New returns a Job over the three stores.
func New(record record, stock stock, log log, options Options) *Job {
	return &Job{record: record, stock: stock, log: log, Options: options}
}

// RunOnce compares every campaign that is not a draft. With Wait it looks again until nothing is on its way, and calls
// different what still is when the time is up. An error means that the comparison is not complete: a store did not
// answer, or the run was cut short.
func (j *Job) RunOnce(ctx context.Context) (Result, error) {
	deadline := j.Now().Add(j.Wait)
	for {
		result, err := j.look(ctx)
		if err != nil || j.Wait == 0 || result.atRest() {
			return result, err
		}
		if !j.Now().Before(deadline) {
			return late(result), nil
		}
		select {
		case <-ctx.Done():
			return result, fmt.Errorf("cut short: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// late returns the result of a look whose time is up: what is on its way should have arrived.
func late(r Result) Result {
	if r.Lag > 0 {
		words := "the consumers are still " + counted(r.Lag, "record") + " behind"
		r.Differences = append(r.Differences, Difference{"lag", words})
	}
	for i := range r.Campaigns {
		c := &r.Campaigns[i]
		c.Differences = append(c.Differences, c.InFlight...)
		c.InFlight = []Difference{}
		c.judge()
	}
	return r
}

func (j *Job) look(ctx context.Context) (Result, error) {
	result := Result{AsOf: j.Now(), Campaigns: []Campaign{}, Differences: []Difference{}}
	lag, err := j.lag(ctx)
	if err != nil {
		return result, err
	}
	result.Lag = lag
	all, err := campaigns.Where(ctx, j.record, opened)
	if err != nil {
		return result, fmt.Errorf("list campaigns: %w", err)
	}
	for i, c := range all {
		if err := ctx.Err(); err != nil {
			return result, fmt.Errorf("cut short: %w", err)
		}
		result.Campaigns = append(result.Campaigns, j.campaign(ctx, c))
		j.Progress(i+1, len(all))
	}
	return result, nil
}

// opened leaves out drafts: no store but MySQL knows of them.
func opened(c coupon.Campaign) bool { return c.Status != coupon.CampaignDraft }

func (j *Job) lag(ctx context.Context) (int64, error) {
	partitions, err := j.log.Lag(ctx, j.Group, j.Topic)
	if err != nil {
		return 0, fmt.Errorf("read the consumers' lag: %w", err)
	}
	return kafkastream.TotalLag(partitions), nil
}

// campaign compares one campaign. A store that does not answer for it does not stop the others.
func (j *Job) campaign(ctx context.Context, listed coupon.Campaign) Campaign {
	x, err := j.ask(ctx, listed)
	found := compare(x)
	if err == nil && len(found.real) > 0 {
		x, err = j.ask(ctx, listed) // what changed between two questions to MySQL shows once only
		found = compare(x)
	}
	c := present(x)
	if err != nil {
		c.ID, c.Status, c.Verdict, c.Error = listed.ID, listed.Status, Unknown, err.Error()
		return c
	}
	c.Differences = append(c.Differences, found.real...)
	c.InFlight = append(c.InFlight, found.passing...)
	if x.before.Pending > 0 {
		words := counted(x.before.Pending, "claim") + " not acknowledged by the log"
		c.InFlight = append(c.InFlight, Difference{"pending", words})
	}
	c.judge()
	return c
}

// ask reads the stores in the order in which a claim passes them, and Redis once more.
func (j *Job) ask(ctx context.Context, listed coupon.Campaign) (x figures, err error) {
	redis := listed.Mode == coupon.ModeRedis && listed.Epoch > 0
	if redis {
		if x.before, err = j.stock.Snapshot(ctx, listed.ID, listed.Epoch); err != nil {
			return x, err
		}
	}
	if x.lag, err = j.lag(ctx); err != nil {
		return x, err
	}
	if x.campaign, err = j.record.Campaign(ctx, listed.ID); err != nil {
		return x, err
	}
	if x.totals, err = j.record.Totals(ctx, listed.ID); err != nil {
		return x, err
	}
	if redis {
		x.after, err = j.stock.Snapshot(ctx, listed.ID, listed.Epoch)
	}
	return x, err
}

func present(x figures) Campaign {
	c := Campaign{
		ID: x.campaign.ID, Status: x.campaign.Status,
		Epoch: x.campaign.Epoch, EpochState: x.campaign.EpochState, Mode: x.campaign.Mode,
		Limit: x.totals.Limit, Issued: x.totals.Issued, Rows: x.totals.Rows,
		Live: x.totals.Live(), Failed: x.totals.Failed,
		InFlight: []Difference{}, Differences: []Difference{},
	}
	if x.campaign.Mode != coupon.ModeRedis || x.campaign.Epoch == 0 {
		return c
	}
	s := x.before
	c.Redis = &Stock{Count: s.Count, Members: s.Members, Serials: s.Serials, Pending: s.Pending}
	if d := s.Document; s.Exists {
		c.Redis.Document = &Meta{Version: d.Version, State: d.State, Epoch: d.Epoch, Lo: d.Lo, Hi: d.Hi, Base: d.Base}
	}
	return c
}

func (c *Campaign) judge() {
	switch {
	case c.Verdict == Unknown:
	case len(c.Differences) > 0:
		c.Verdict = Different
	case len(c.InFlight) > 0:
		c.Verdict = InFlight
	default:
		c.Verdict = Equal
	}
}
