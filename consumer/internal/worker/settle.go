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
	attempts, silence := w.attemptAll(ctx, b.parts)
	b.parts = nil
	for _, a := range attempts {
		w.judge(b, a, silence == nil)
	}
	if silence == nil {
		silence = w.parkAll(ctx, b)
	}
	if silence != nil {
		clear(w.failing)
	}
}

// judge leaves in b what an attempt did not settle. Where the database does not answer nothing is overdue: the failed
// events live in that very database, and an outage is waited out.
func (w *Worker) judge(b *batch, a attempt, answers bool) {
	cause := new(panicked)
	switch {
	case a.err == nil:
		delete(w.failing, a.campaign)
		for i, r := range a.results {
			w.note(a.deliveries[i], r, a.ended)
		}
	case errors.As(a.err, &cause):
		w.isolate(b, a.part, cause)
	case answers && w.overdue(a):
		b.failed = append(b.failed, w.exhausted(a.part, a.err)...)
	default:
		b.parts = append(b.parts, a.part)
	}
}

// overdue reports whether a campaign has failed, while the database answered, for so long that another attempt like this
// one would go past Config.Patience. An earlier batch of the campaign counts too.
func (w *Worker) overdue(a attempt) bool {
	since, failed := w.failing[a.campaign]
	if !failed {
		since = a.began
		w.failing[a.campaign] = a.began
	}
	return a.ended.Sub(since)+a.ended.Sub(a.began) >= w.config.Patience
}

// parkAll keeps the failed events of the batch, or leaves them in b. The error says that the database does not answer.
func (w *Worker) parkAll(ctx context.Context, b *batch) error {
	if err := w.park(ctx, b); err != nil {
		return w.silence(ctx, err)
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
