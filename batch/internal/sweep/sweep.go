// Package sweep publishes again what Redis granted and the log never acknowledged, in every campaign.
package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/seonchak/seonchak/batch/internal/campaigns"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/outbox"
)

// FirstDue is how old a pending claim is when it first falls due for a sweep, as the claim script sets it.
const FirstDue = 2 * time.Second

// sweeper publishes the pending claims of one epoch and forgets what the log acknowledged.
type sweeper interface {
	Sweep(ctx context.Context, campaign string, epoch int64, overdue time.Duration) (outbox.Swept, error)
}

// Options are what a run takes from outside. Every field must be set.
type Options struct {
	OlderThan time.Duration         // claims younger than this are left to the api-servers; at least FirstDue
	Progress  func(done, total int) // in campaigns
	Logger    *slog.Logger
}

// Job sweeps every campaign.
type Job struct {
	campaigns campaigns.Source
	sweeper   sweeper
	Options
}

// New returns a Job over the record and the outbox.
func New(source campaigns.Source, sweeper sweeper, options Options) *Job {
	return &Job{campaigns: source, sweeper: sweeper, Options: options}
}

// Result counts what a run did.
type Result struct {
	Campaigns int `json:"campaigns"`
	Taken     int `json:"taken"`
	Published int `json:"published"`
	Failed    int `json:"failed"` // campaigns that could not be swept to the end
}

// OK reports whether every pending claim that was taken is in the log.
func (r Result) OK() bool { return r.Failed == 0 }

// Summary returns the result as one line.
func (r Result) Summary() string {
	return fmt.Sprintf("campaigns %d, taken %d, published %d, failed %d", r.Campaigns, r.Taken, r.Published, r.Failed)
}

// RunOnce sweeps every campaign that was ever opened. An error means that the campaigns could not be listed or the run
// was cut short; a campaign that cannot be swept is counted and does not stop the others. Two runs at once share the
// claims by their leases; what both publish is one row and one duplicate.
func (j *Job) RunOnce(ctx context.Context) (Result, error) {
	var result Result
	all, err := j.list(ctx)
	if err != nil {
		return result, fmt.Errorf("list campaigns: %w", err)
	}
	for i, c := range all {
		if err := ctx.Err(); err != nil {
			return result, fmt.Errorf("cut short: %w", err)
		}
		j.sweep(ctx, c, &result)
		j.Progress(i+1, len(all))
	}
	return result, nil
}

// list returns the campaigns that may have pending claims: no draft, and no epoch whose serials MySQL gives out itself.
func (j *Job) list(ctx context.Context) ([]coupon.Campaign, error) {
	return campaigns.Where(ctx, j.campaigns, func(c coupon.Campaign) bool {
		return c.Status != coupon.CampaignDraft && c.Epoch > 0 && c.Mode == coupon.ModeRedis
	})
}

func (j *Job) sweep(ctx context.Context, c coupon.Campaign, result *Result) {
	swept, err := j.sweeper.Sweep(ctx, c.ID, c.Epoch, j.OlderThan-FirstDue)
	result.Campaigns++
	result.Taken += swept.Taken
	result.Published += swept.Published
	if err == nil {
		return
	}
	result.Failed++
	j.Logger.Warn("campaign not swept", "campaign", c.ID, "taken", swept.Taken, "published", swept.Published, "error", err)
}
