// Package rebuild has campaigns' claim state in Redis made anew from MySQL: it asks for a fence and waits for what follows.
package rebuild

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/seonchak/seonchak/batch/internal/campaigns"
	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	look = 250 * time.Millisecond // between two looks at how far the wardens are
	hint = 10 * time.Second       // without any progress, before it is said that perhaps no consumer runs
)

// record holds the campaigns. WantFence must ask for the end of the campaign's epoch and return the campaign, and refuse with
// coupon.CodeInvalidTransition where no epoch is open.
type record interface {
	campaigns.Source
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
	WantFence(ctx context.Context, id string) (coupon.Campaign, error)
}

// stock is the claim state, which says of what epoch its document is.
type stock interface {
	Levels(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error)
}

// Options are what a run takes from outside. Every field must be set.
type Options struct {
	Campaigns []string // their ids; none means all that are active or paused
	Now       func() time.Time
	Progress  func(done, total int) // in campaigns
	Logger    *slog.Logger
}

// Job rebuilds campaigns.
type Job struct {
	record record
	stock  stock
	Options
}

// New returns a Job over the record and the claim state.
func New(record record, stock stock, options Options) *Job {
	return &Job{record: record, stock: stock, Options: options}
}

// Failure is a campaign that was not rebuilt, and why.
type Failure struct {
	Campaign string `json:"campaign_id"`
	Why      string `json:"why"`
}

// Result says what became of the campaigns.
type Result struct {
	Rebuilt []string  `json:"rebuilt"`
	Failed  []Failure `json:"failed"`
}

// OK reports whether every campaign was rebuilt.
func (r Result) OK() bool { return len(r.Failed) == 0 }

// Summary returns the result as one line.
func (r Result) Summary() string {
	line := fmt.Sprintf("rebuilt %d, failed %d", len(r.Rebuilt), len(r.Failed))
	for _, f := range r.Failed {
		line += fmt.Sprintf("; %s: %s", f.Campaign, f.Why)
	}
	return line
}

// waiting is a campaign whose next epoch is awaited.
type waiting struct {
	id    string
	above int64 // the epoch that is to end
	last  coupon.Campaign
}

// RunOnce asks for a fence of every campaign and waits until each is open in a later epoch: in Redis, or in mode sql where
// Redis is away. The wardens of the consumers do the work. When ctx runs out of time, what is not done by then has failed,
// and may still be done by them afterwards. An error means that a campaign is unknown, and then nothing was asked for, or
// that the run was cut short. It may be repeated.
func (j *Job) RunOnce(ctx context.Context) (Result, error) {
	ids, err := j.ids(ctx)
	if err != nil {
		return Result{}, err
	}
	var result Result
	var left []waiting
	for _, id := range ids {
		w, err := j.ask(ctx, id)
		if err != nil {
			result.Failed = append(result.Failed, Failure{id, err.Error()})
			continue
		}
		left = append(left, w)
	}
	return result, j.await(ctx, left, &result)
}

// ids returns the campaigns to rebuild, all of which exist.
func (j *Job) ids(ctx context.Context) ([]string, error) {
	if len(j.Campaigns) == 0 {
		return j.all(ctx)
	}
	var unknown []string
	for _, id := range j.Campaigns {
		_, err := j.record.Campaign(ctx, id)
		switch {
		case coupon.CodeOf(err) == coupon.CodeCampaignNotFound:
			unknown = append(unknown, id)
		case err != nil:
			return nil, fmt.Errorf("read campaign %s: %w", id, err)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("no such campaign: %s", strings.Join(unknown, ", "))
	}
	return j.Campaigns, nil
}

func (j *Job) all(ctx context.Context) (ids []string, err error) {
	found, err := campaigns.Where(ctx, j.record, func(c coupon.Campaign) bool {
		return c.Epoch > 0 && (c.Status == coupon.CampaignActive || c.Status == coupon.CampaignPaused)
	})
	if err != nil {
		return nil, fmt.Errorf("list campaigns: %w", err)
	}
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids, nil
}

// ask has a campaign's epoch ended, unless it is being ended already: then the one after it will do.
func (j *Job) ask(ctx context.Context, id string) (waiting, error) {
	c, err := j.record.WantFence(ctx, id)
	if coupon.CodeOf(err) != coupon.CodeInvalidTransition {
		return waiting{id, c.Epoch, c}, err
	}
	c, readErr := j.record.Campaign(ctx, id)
	switch {
	case readErr != nil:
		return waiting{}, readErr
	case c.Status == coupon.CampaignClosed || c.Status == coupon.CampaignDraft:
		return waiting{}, fmt.Errorf("a %s campaign has no open epoch", c.Status)
	case c.EpochState == coupon.EpochFencing:
		return waiting{id, c.Epoch, c}, nil
	case c.EpochState == coupon.EpochLoading:
		return waiting{id, c.Epoch - 1, c}, nil
	default:
		return waiting{}, err // it has moved on between the two questions: a later run finds it still
	}
}

// await looks until nothing is left, or ctx ends.
func (j *Job) await(ctx context.Context, left []waiting, result *Result) error {
	total := len(left)
	began, hinted := j.Now(), false
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		left = j.look(ctx, left, result)
		j.Progress(total-len(left), total)
		if len(left) == 0 {
			return nil
		}
		if !hinted && j.Now().Sub(began) > hint && untouched(left) == len(left) {
			hinted = true
			j.Logger.Warn("nobody has begun yet: does a consumer run, and does Kafka answer?", "campaigns", len(left))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return j.giveUp(ctx, left, result)
		}
	}
}

// look returns the campaigns that are not open in a later epoch yet.
func (j *Job) look(ctx context.Context, left []waiting, result *Result) (still []waiting) {
	var inRedis []*coupon.Campaign
	var opening []waiting
	for _, w := range left {
		c, err := j.record.Campaign(ctx, w.id)
		if err != nil {
			still = append(still, w)
			continue
		}
		w.last = c
		switch {
		case c.Epoch <= w.above || c.EpochState != coupon.EpochActive:
			still = append(still, w)
		case c.Mode == coupon.ModeSQL:
			result.Rebuilt = append(result.Rebuilt, c.ID)
		default:
			opening, inRedis = append(opening, w), append(inRedis, &c)
		}
	}
	levels, _ := j.stock.Levels(ctx, inRedis) // a level that could not be read has no epoch, and is looked at again
	for i, w := range opening {
		if i >= len(levels) || levels[i].Epoch < w.last.Epoch {
			still = append(still, w)
			continue
		}
		result.Rebuilt = append(result.Rebuilt, w.id)
	}
	return still
}

// giveUp says of each campaign that is left where it stands.
func (j *Job) giveUp(ctx context.Context, left []waiting, result *Result) error {
	for _, w := range left {
		result.Failed = append(result.Failed, Failure{w.id, w.stands()})
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil // the result says it
	}
	return fmt.Errorf("cut short: %w", ctx.Err())
}

// stands says, in words for an operator, what a campaign waits for.
func (w waiting) stands() string {
	switch {
	case w.last.EpochState == coupon.EpochClosed:
		return "it was closed meanwhile"
	case w.last.Epoch > w.above && w.last.EpochState == coupon.EpochActive:
		return "its new epoch is not open in Redis yet: does Redis answer?"
	case w.last.EpochState == coupon.EpochLoading:
		return "it is being loaded into Redis"
	case w.last.EpochState == coupon.EpochFencing:
		return "its log is not drained: do the consumers run, and do they keep up?"
	default:
		return "no consumer has begun: does one run, and does Kafka answer?"
	}
}

// untouched counts the campaigns of which nobody has begun the fence.
func untouched(left []waiting) (n int) {
	for _, w := range left {
		if w.last.Epoch == w.above && w.last.EpochState == coupon.EpochActive {
			n++
		}
	}
	return n
}
