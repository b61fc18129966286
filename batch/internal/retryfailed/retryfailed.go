// Package retryfailed tries the failed events that are due once more.
package retryfailed

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

const (
	// page is how many events one run holds at a time: few enough that even a page of stuck rows ends before the lease.
	page = 200
	// lease is how long a killed run keeps its page from the next one.
	lease = time.Minute
)

// queue holds the failed events. TakeFailures must give an event to one taker only until its lease is over, the longest
// due first; PostponeFailure must change only what the token still holds.
type queue interface {
	TakeFailures(ctx context.Context, token string, limit int, lease time.Duration) ([]coupon.FailedEvent, error)
	PostponeFailure(ctx context.Context, id int64, token string, attempts int, due time.Time, parked bool, cause string) error
}

// issuer turns claims of one campaign into rows, and in the same transaction ends the failed events they came from. An
// error means that nothing is known of any of them, and that the call is safe to repeat.
type issuer interface {
	Issue(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error)
}

// Options are what a run takes from outside. Every field must be set.
type Options struct {
	Now      func() time.Time
	Jitter   func() float64 // in [0, 1): parts events that failed together
	Random   io.Reader      // of the tokens
	Progress func(events int)
	Logger   *slog.Logger
}

// Job retries failed events.
type Job struct {
	queue  queue
	issuer issuer
	Options
}

// New returns a Job over the failed events and the one function that makes rows.
func New(queue queue, issuer issuer, options Options) *Job {
	return &Job{queue: queue, issuer: issuer, Options: options}
}

// Result counts what became of the events of a run.
type Result struct {
	Taken     int            `json:"taken"`
	Outcomes  map[string]int `json:"outcomes"`  // of those that are ended: issued, duplicate, void, stale, dead
	Postponed int            `json:"postponed"` // due again later
	Parked    int            `json:"parked"`    // out of attempts: an operator's
	Lost      int            `json:"lost"`      // could not be put back: their lease runs out first
}

// OK reports whether every event that was taken is ended, and none of them as dead.
func (r Result) OK() bool {
	return r.Postponed+r.Parked+r.Lost+r.Outcomes[coupon.OutcomeDead.String()] == 0
}

// Summary returns the result as one line.
func (r Result) Summary() string {
	line := fmt.Sprintf("taken %d", r.Taken)
	for _, name := range slices.Sorted(maps.Keys(r.Outcomes)) {
		line += fmt.Sprintf(", %s %d", name, r.Outcomes[name])
	}
	line += fmt.Sprintf(", postponed %d, parked %d", r.Postponed, r.Parked)
	if r.Lost > 0 {
		line += fmt.Sprintf(", left to their lease %d", r.Lost)
	}
	return line
}

// RunOnce tries every event that was due when it began, page by page. An error means that the queue itself did not
// answer; trouble with one event or one campaign is counted and does not stop the others. Killed at any point, what it
// held is due again when the lease is over, and issue() knows the rows that were made.
func (j *Job) RunOnce(ctx context.Context) (Result, error) {
	run := newRun(j)
	for {
		token, err := j.token()
		if err != nil {
			return run.result, err
		}
		events, err := j.queue.TakeFailures(ctx, token, page, lease)
		if err != nil {
			return run.result, fmt.Errorf("take failed events: %w", err)
		}
		failpoint.Hit(failpoint.RetryClaimed)
		again := run.take(events)
		run.try(ctx, token, events)
		if err := ctx.Err(); err != nil {
			return run.result, fmt.Errorf("cut short: %w", err)
		}
		if len(events) < page || again {
			return run.result, nil
		}
	}
}

// token returns a name for one page that no other taker has.
func (j *Job) token() (string, error) {
	var raw [16]byte
	if _, err := io.ReadFull(j.Random, raw[:]); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}
