package worker

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// attempt is one try to issue a part.
type attempt struct {
	part

	began, ended time.Time
	results      []coupon.Result
	err          error // it may have taken place all the same: made again, its rows are duplicates
}

// attemptAll tries to issue the parts, Config.Lanes of them at a time, and returns what became of each, in their order. The
// error says that the database does not answer, or is ctx's: from then on none was begun, and what had begun was finished.
func (w *Worker) attemptAll(ctx context.Context, parts []part) ([]attempt, error) {
	attempts := make([]attempt, len(parts))
	group, answers := errgroup.WithContext(ctx)
	group.SetLimit(w.config.Lanes)
	for i, p := range parts {
		group.Go(func() error {
			if silence := answers.Err(); silence != nil {
				attempts[i] = attempt{part: p, err: silence}
				return silence
			}
			var silence error
			attempts[i], silence = w.attempt(ctx, p)
			return silence
		})
	}
	return attempts, group.Wait()
}

// attempt runs one campaign's transaction. The error says that it failed and the database does not answer.
func (w *Worker) attempt(ctx context.Context, p part) (a attempt, silence error) {
	a = attempt{part: p, began: w.config.Now()}
	a.results, a.err = w.issue(ctx, p)
	a.ended = w.config.Now()
	if a.err == nil || errors.As(a.err, new(*panicked)) {
		return a, nil
	}
	return a, w.silence(ctx, a.err)
}

func (w *Worker) issue(ctx context.Context, p part) (results []coupon.Result, err error) {
	defer rescue(&err)
	ctx, cancel := context.WithTimeout(ctx, attemptDeadline)
	defer cancel()
	return w.record.Issue(ctx, p.campaign, p.deliveries)
}

// silence returns why the database does not answer, after a call to it ended in err; nil when it does.
func (w *Worker) silence(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(ctx, pingDeadline)
	defer cancel()
	silence := w.record.Ping(ctx)
	w.issueTrouble.Do(func() {
		w.logger.Warn("the database did not take a batch, trying again", "answers", silence == nil, "error", err)
	})
	return silence
}
