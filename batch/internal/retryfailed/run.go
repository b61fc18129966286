package retryfailed

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

// run is one RunOnce.
type run struct {
	*Job
	result Result
	stuck  map[string]string  // campaigns that did not yield in this run, and why
	put    map[int64]struct{} // the events that were put back
}

func newRun(j *Job) *run {
	return &run{
		Job: j, result: Result{Outcomes: map[string]int{}},
		stuck: map[string]string{}, put: map[int64]struct{}{},
	}
}

// take counts a page, and reports whether the run put one of its events back before: the rest is the next run's, or a
// run that postpones by seconds might never end.
func (r *run) take(events []coupon.FailedEvent) (again bool) {
	r.result.Taken += len(events)
	for _, e := range events {
		if _, known := r.put[e.ID]; known {
			again = true
		}
	}
	return again
}

// try issues a page, campaign by campaign in the order issue() locks them everywhere.
func (r *run) try(ctx context.Context, token string, events []coupon.FailedEvent) {
	groups := map[string][]coupon.FailedEvent{}
	for _, e := range events {
		groups[e.Campaign] = append(groups[e.Campaign], e)
	}
	for _, campaign := range slices.Sorted(maps.Keys(groups)) {
		r.issue(ctx, token, campaign, groups[campaign])
		r.Progress(len(groups[campaign]))
	}
}

// issue tries one campaign's events. A campaign that did not yield once is not asked again in this run, so a stuck row
// costs the run one lock wait, however many events lie behind it; an event that was not tried keeps its attempts.
func (r *run) issue(ctx context.Context, token, campaign string, events []coupon.FailedEvent) {
	if cause, known := r.stuck[campaign]; known {
		r.postponeAll(ctx, token, events, 0, cause)
		return
	}
	results, err := r.issuer.Issue(ctx, campaign, deliveries(events))
	failpoint.Hit(failpoint.RetryApplied)
	switch {
	case err == nil:
		for i, result := range results {
			r.settle(ctx, token, events[i], result)
		}
	case ctx.Err() != nil:
		r.result.Lost += len(events) // the run is being ended: no attempt is counted
	case coupon.CodeOf(err) == coupon.CodeUnavailable:
		r.stuck[campaign] = err.Error()
		r.Logger.Warn("campaign did not yield", "campaign", campaign, "events", len(events), "error", err)
		r.postponeAll(ctx, token, events, 1, err.Error())
	case len(events) > 1: // it may be about one of them
		for i := range events {
			r.issue(ctx, token, campaign, events[i:i+1])
		}
	default:
		r.Logger.Warn("failed event not issued", "event", events[0].EventKey, "error", err)
		r.postponeAll(ctx, token, events, 1, err.Error())
	}
}

func deliveries(events []coupon.FailedEvent) []coupon.Delivery {
	all := make([]coupon.Delivery, len(events))
	for i, e := range events {
		all[i] = coupon.Delivery{Claim: e.Claim, Payload: e.Payload, Position: e.EventKey, FailedID: e.ID}
	}
	return all
}

// settle counts an event that issue() ended, and puts back one that it could not.
func (r *run) settle(ctx context.Context, token string, event coupon.FailedEvent, result coupon.Result) {
	switch result.Outcome {
	case coupon.OutcomeParked, coupon.OutcomeFailed:
		cause := cmp.Or(result.Err, string(result.Reason), result.Outcome.String())
		r.Logger.Warn("failed event not issued", "event", event.EventKey, "reason", result.Reason, "error", cause)
		r.postpone(ctx, token, event, event.Attempts+1, cause)
	default:
		r.result.Outcomes[result.Outcome.String()]++
	}
}

func (r *run) postponeAll(ctx context.Context, token string, events []coupon.FailedEvent, tried int, cause string) {
	for _, e := range events {
		r.postpone(ctx, token, e, e.Attempts+tried, cause)
	}
}

// postpone puts an event back. When that fails too, its lease runs out and the next run has it.
func (r *run) postpone(ctx context.Context, token string, event coupon.FailedEvent, attempts int, cause string) {
	due, parked := coupon.NextAttempt(attempts, r.Now(), r.Jitter())
	if err := r.queue.PostponeFailure(ctx, event.ID, token, attempts, due, parked, cause); err != nil {
		r.result.Lost++
		r.Logger.Warn("failed event not put back", "event", event.EventKey, "error", err)
		return
	}
	if parked {
		r.result.Parked++
		r.Logger.Error("failed event parked", "event", event.EventKey, "attempts", attempts, "error", cause)
		return
	}
	r.result.Postponed++
	r.put[event.ID] = struct{}{}
}
