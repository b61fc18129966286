// Package reconcile compares what Redis, the log and MySQL say of every campaign, and names the claims they contradict one
// another about. It changes nothing unless it is given the tools to repair, and then only what cannot do harm.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/batch/internal/campaigns"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// pause is how long a run that waits for rest lets pass between two looks.
const pause = 500 * time.Millisecond

// record is what MySQL holds. Campaigns lists by id, those after the given one; an Account must be of one instant.
type record interface {
	Campaigns(ctx context.Context, after string, limit int) ([]coupon.Campaign, error)
	Account(ctx context.Context, campaign string) (mysqlstore.Account, error)
	rows
}

// stock is what Redis holds. A Snapshot must be of one instant; Seal is the id of the Redis that answers.
type stock interface {
	Snapshot(ctx context.Context, campaign string, epoch int64) (redisstock.Snapshot, error)
	Seal(ctx context.Context, campaign string) (string, error)
	Look(ctx context.Context, campaigns []*coupon.Campaign) []coupon.Health
	entries
}

// log is how far the consumers are.
type log interface {
	Lag(ctx context.Context, group, topic string) ([]kafkastream.PartitionLag, error)
}

// Options are what a run takes from outside. Group, Topic, Now and Progress must be set.
type Options struct {
	Group, Topic string
	Wait         time.Duration // how long work on its way may take to arrive; after it, it is a difference
	Claims       bool          // compare every claim by itself, also where the counts agree
	Tools        *Tools        // to repair with; nil: nothing is changed
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
// different what still is when the time is up. With Tools it repairs after a look, and looks again. An error means that the
// comparison is not complete: a store did not answer, or the run was cut short.
func (j *Job) RunOnce(ctx context.Context) (Result, error) {
	deadline := j.Now().Add(j.Wait)
	m := newMending(j)
	for first := true; ; first = false {
		result, err := j.look(ctx)
		if err != nil {
			return result, err
		}
		over := !j.Now().Before(deadline)
		acted := j.Tools != nil && (first || !over) && m.mend(ctx, &result)
		switch {
		case acted:
		case j.Wait == 0 || result.atRest():
			return j.finish(ctx, result, m)
		case over:
			return j.finish(ctx, late(result), m)
		}
		select {
		case <-ctx.Done():
			return result, fmt.Errorf("cut short: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// finish names the claims that differ, and says what was repaired.
func (j *Job) finish(ctx context.Context, r Result, m *mending) (Result, error) {
	r.Repairs = m.done
	for i := range r.Campaigns {
		c := &r.Campaigns[i]
		if !j.Claims && !c.hasAny(aboutClaims) {
			continue
		}
		if err := j.name(ctx, c); err != nil {
			return r, fmt.Errorf("name the claims of %s: %w", c.ID, err)
		}
	}
	return r, nil
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
	result := Result{AsOf: j.Now(), Campaigns: []Campaign{}, Differences: []Difference{}, Repairs: []Repair{}}
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
	x, err := j.askTheRightEpoch(ctx, listed)
	found := compare(x)
	if err == nil && len(found.real) > 0 {
		x, err = j.askTheRightEpoch(ctx, x.account.Campaign) // what an epoch's end made of it shows once only
		found = compare(x)
	}
	c := present(x)
	if err != nil {
		c.ID, c.Status, c.Verdict, c.Error = listed.ID, listed.Status, Unknown, err.Error()
		return c
	}
	c.Differences = append(c.Differences, found.real...)
	c.InFlight = append(c.InFlight, found.passing...)
	c.judge()
	return c
}

// askTheRightEpoch asks again when the campaign turns out to be elsewhere by now: Redis was asked about keys that are gone,
// or was asked although the campaign has left it.
func (j *Job) askTheRightEpoch(ctx context.Context, listed coupon.Campaign) (x figures, err error) {
	const times = 3
	for range times {
		x, err = j.ask(ctx, listed)
		now := x.account.Campaign
		if now.ID == "" || !x.elsewhere() {
			return x, err
		}
		listed = now
	}
	return x, err
}

// ask reads the stores in the order in which a claim passes them, and Redis once more. MySQL's answer is there also where
// Redis gave none.
func (j *Job) ask(ctx context.Context, listed coupon.Campaign) (x figures, err error) {
	var failed []error
	if inRedis(listed) {
		x.asked = listed.Ref()
		x.before, err = j.stock.Snapshot(ctx, listed.ID, listed.Epoch)
		failed = append(failed, err)
	}
	if x.lag, err = j.lag(ctx); err != nil {
		return x, err
	}
	if x.account, err = j.record.Account(ctx, listed.ID); err != nil {
		return x, err
	}
	if err := errors.Join(failed...); err != nil || x.asked.Epoch == 0 {
		return x, err
	}
	return x, j.askAgain(ctx, &x)
}

// askAgain asks Redis after MySQL, and about itself.
func (j *Job) askAgain(ctx context.Context, x *figures) (err error) {
	if x.after, err = j.stock.Snapshot(ctx, x.asked.Campaign, x.asked.Epoch); err != nil {
		return err
	}
	if x.owner, err = j.stock.Seal(ctx, x.asked.Campaign); err != nil {
		return err
	}
	if x.before.Exists && x.before.Document.Epoch == x.asked.Epoch {
		return nil
	}
	c := x.account.Campaign
	x.unopened = j.stock.Look(ctx, []*coupon.Campaign{&c})[0].State == coupon.Unopened
	return nil
}

// inRedis reports whether Redis gives out the places of the campaign's epoch.
func inRedis(c coupon.Campaign) bool {
	return c.Mode == coupon.ModeRedis && c.Epoch > 0 && c.EpochState == coupon.EpochActive
}
