package worker

import (
	"context"
	"errors"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	attemptDeadline = 15 * time.Second // past every time-out of the driver: no call hangs for ever
	pingDeadline    = 2 * time.Second
	statementBytes  = 2 << 20 // of payload; escaped it is twice as much, and the least servers take 16 MB
)

// settle works in rounds until nothing of the batch is left. The error is ctx's.
func (w *Worker) settle(ctx context.Context, b *batch) error {
	pause := newPause()
	for {
		w.round(ctx, b)
		if b.done() {
			return nil
		}
		if err := wait(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}

// round tries everything of the batch once, so that a stuck campaign never stops the others, and leaves in b what must be
// tried again. It ends early when the database does not answer: the rest would meet the same fate.
func (w *Worker) round(ctx context.Context, b *batch) {
	parts := b.parts
	b.parts = nil
	for i, p := range parts {
		began := w.config.Now()
		err := w.issue(ctx, p)
		if err == nil {
			delete(w.failing, p.campaign)
			continue
		}
		if cause := new(panicked); errors.As(err, &cause) {
			w.isolate(b, p, cause)
			continue
		}
		if !w.answers(ctx, err) {
			b.parts = append(b.parts, parts[i:]...)
			return
		}
		if w.overdue(p.campaign, began) {
			b.failed = append(b.failed, w.exhausted(p, err)...)
			continue
		}
		b.parts = append(b.parts, p)
	}
	if err := w.park(ctx, b); err != nil {
		w.answers(ctx, err)
	}
}

// answers reports whether the database does, after a call to it ended in err. When it does not, nothing is overdue: the
// failed events live in that very database, and an outage is waited out.
func (w *Worker) answers(ctx context.Context, err error) bool {
	ctx, cancel := context.WithTimeout(ctx, pingDeadline)
	defer cancel()
	silence := w.record.Ping(ctx)
	if silence != nil {
		clear(w.failing)
	}
	w.issueTrouble.Do(func() {
		w.logger.Warn("the database did not take a batch, trying again", "answers", silence == nil, "error", err)
	})
	return silence == nil
}

// overdue reports whether a campaign has failed, while the database answered, for so long that another attempt like the
// one that began then and failed just now would go past Config.Patience. An earlier batch of the campaign counts too.
func (w *Worker) overdue(campaign string, began time.Time) bool {
	now := w.config.Now()
	since, failed := w.failing[campaign]
	if !failed {
		since = began
		w.failing[campaign] = began
	}
	return now.Sub(since)+now.Sub(began) >= w.config.Patience
}

// issue runs one campaign's transaction. It may have taken place in spite of an error: run again, its rows are
// duplicates.
func (w *Worker) issue(ctx context.Context, p part) (err error) {
	defer rescue(&err)
	ctx, cancel := context.WithTimeout(ctx, attemptDeadline)
	defer cancel()
	results, err := w.record.Issue(ctx, p.campaign, p.deliveries)
	if err != nil {
		return err
	}
	for i, r := range results {
		w.note(p.deliveries[i], r)
	}
	return nil
}

// park keeps the failed events of the batch: in one call, unless their bytes are too many for one.
func (w *Worker) park(ctx context.Context, b *batch) (err error) {
	defer rescue(&err)
	ctx, cancel := context.WithTimeout(ctx, attemptDeadline)
	defer cancel()
	for len(b.failed) > 0 {
		some := statement(b.failed)
		if err := w.record.Park(ctx, some); err != nil {
			return err
		}
		for _, f := range some {
			w.noteFailed(f)
		}
		b.failed = b.failed[len(some):]
	}
	return nil
}

// statement returns the first events, at least one, whose payloads fit in one statement: poison can be as large as the
// log takes it, and a batch of that is more than a database takes at once.
func statement(events []coupon.FailedEvent) []coupon.FailedEvent {
	size := 0
	for i, e := range events {
		if size += len(e.Payload); size > statementBytes && i > 0 {
			return events[:i]
		}
	}
	return events
}
