// Package audit shows what only the record can tell of the promises: which are broken, oversold or waiting for batch.
package audit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
)

const (
	every = 15 * time.Second
	bound = 5 * time.Second // of one round
	// budget is how long one round counts rows: a million take some 0.2 s. The campaigns that are left go first in the next.
	budget = time.Second
	// restFactor is how many times longer than it took to count a campaign's rows they are left alone: every consumer counts,
	// and all of them together must not be felt by issue().
	restFactor = 100
)

// record is what MySQL holds. What it is asked must cost the same however much history there is.
type record interface {
	failures
	campaigns
	runs
}

type failures interface {
	CountFailures(ctx context.Context) (mysqlstore.FailureCounts, error)
	BrokenPromises(ctx context.Context) ([]coupon.Claim, error)
}

type campaigns interface {
	Watched(ctx context.Context) ([]coupon.Campaign, error)
	Oversold(ctx context.Context, campaign string) (int64, error)
}

type runs interface {
	LastSuccesses(ctx context.Context) (map[string]time.Time, error)
	LostClaims(ctx context.Context) (int64, error)
}

// Audit asks the record now and then, and never when it is scraped. Every consumer shows all: take the maximum, not the sum.
type Audit struct {
	record  record
	metrics *Metrics
	now     func() time.Time
	logger  *slog.Logger

	due     map[string]time.Time      // campaign → when its rows are to be counted again
	broken  map[coupon.Claim]struct{} // those that are in the metrics
	lost    int64                     // claims, by the newest reconciliation
	success map[string]time.Time      // job → when it succeeded last
}

// New returns an Audit. now is a monotonic clock, as time.Now is.
func New(record record, metrics *Metrics, now func() time.Time, logger *slog.Logger) *Audit {
	return &Audit{
		record: record, metrics: metrics, now: now, logger: logger,
		due: map[string]time.Time{}, broken: map[coupon.Claim]struct{}{}, success: map[string]time.Time{},
	}
}

// Run refreshes the metrics until ctx ends.
func (a *Audit) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		a.look(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// look is one round.
func (a *Audit) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err := errors.Join(a.failures(ctx), a.promises(ctx), a.runs(ctx), a.places(ctx))
	if err != nil {
		a.logger.Debug("the audit is not complete", "error", err)
	}
}

// failures shows the failed events. What is not known is not shown.
func (a *Audit) failures(ctx context.Context) error {
	counts, err := a.record.CountFailures(ctx)
	if err != nil {
		a.metrics.forgetFailures()
		return err
	}
	age := time.Duration(0)
	if !counts.Waiting.IsZero() {
		age = max(0, a.now().Sub(counts.Waiting))
	}
	a.metrics.showFailures(counts.ByStatus, age)
	return nil
}

// promises counts every broken promise once. The first round counts those that are found broken.
func (a *Audit) promises(ctx context.Context) error {
	claims, broken := a.record.BrokenPromises(ctx)
	for _, c := range claims {
		if _, known := a.broken[c]; known {
			continue
		}
		a.broken[c] = struct{}{}
		a.metrics.broken.Inc()
	}
	lost, err := a.record.LostClaims(ctx)
	if err != nil {
		return errors.Join(broken, err)
	}
	a.metrics.broken.Add(float64(max(0, lost-a.lost)))
	a.lost = lost
	return broken
}

// runs shows when the jobs of batch succeeded last. A time that was shown stays true, also when the record is silent.
func (a *Audit) runs(ctx context.Context) error {
	last, err := a.record.LastSuccesses(ctx)
	for job, at := range last {
		if !at.Before(a.success[job]) {
			a.success[job] = at
			a.metrics.showSuccess(job, at)
		}
	}
	return err
}

// places counts the rows of the campaigns that are open, the longest due first.
func (a *Audit) places(ctx context.Context) error {
	began := a.now()
	open, err := a.open(ctx)
	for _, id := range open {
		start := a.now()
		if start.Sub(began) >= budget || start.Before(a.due[id]) {
			return nil
		}
		var over int64
		if over, err = a.record.Oversold(ctx, id); err != nil {
			break
		}
		a.metrics.oversold.WithLabelValues(id).Set(float64(over))
		end := a.now()
		a.due[id] = end.Add(restFactor * end.Sub(start))
	}
	if err != nil {
		a.metrics.oversold.Reset()
		clear(a.due)
	}
	return err
}

// open returns the campaigns that are not closed, and drops the series of all others.
func (a *Audit) open(ctx context.Context) ([]string, error) {
	watched, err := a.record.Watched(ctx)
	if err != nil {
		return nil, err
	}
	var open []string
	for i := range watched {
		if watched[i].Status != coupon.CampaignClosed {
			open = append(open, watched[i].ID)
		}
	}
	for id := range a.due {
		if !slices.Contains(open, id) {
			a.metrics.oversold.DeleteLabelValues(id)
			delete(a.due, id)
		}
	}
	slices.SortStableFunc(open, func(x, y string) int { return a.due[x].Compare(a.due[y]) })
	return open, nil
}
