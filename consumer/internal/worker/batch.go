package worker

import (
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// batch is what is left to do before the records in hand may be committed.
type batch struct {
	parts  []part               // to issue
	failed []coupon.FailedEvent // to keep
}

// part is the deliveries of one campaign: one transaction.
type part struct {
	campaign   string
	deliveries []coupon.Delivery
}

func (b *batch) done() bool { return len(b.parts) == 0 && len(b.failed) == 0 }

// sort groups the claims by campaign, in id order, and sets aside what is not an event.
func (w *Worker) sort(entries []entry) *batch {
	b := new(batch)
	campaigns := map[string][]coupon.Delivery{}
	for _, e := range entries {
		d := coupon.Delivery{Claim: e.claim, Payload: e.record.Value, Position: e.record.Position()}
		switch {
		case e.barrier:
		case e.poison != nil:
			b.failed = append(b.failed, w.dead(d, e.poison))
		default:
			campaigns[e.claim.Campaign] = append(campaigns[e.claim.Campaign], d)
		}
	}
	for _, campaign := range slices.Sorted(maps.Keys(campaigns)) {
		b.parts = append(b.parts, part{campaign, campaigns[campaign]})
	}
	return b
}

// isolate finds the record that makes a part panic: each is tried alone, and the one that panics alone is dead.
func (w *Worker) isolate(b *batch, p part, cause *panicked) {
	w.panics.Do(func() {
		w.logger.Error("panic while issuing", "campaign", p.campaign, "error", cause, "stack", string(cause.stack))
	})
	if len(p.deliveries) == 1 {
		b.failed = append(b.failed, w.dead(p.deliveries[0], cause))
		return
	}
	for _, d := range p.deliveries {
		b.parts = append(b.parts, part{p.campaign, []coupon.Delivery{d}})
	}
}

// exhausted turns what could not be issued into failed events, due at once: batch goes on where this worker stops.
func (w *Worker) exhausted(p part, cause error) []coupon.FailedEvent {
	events := make([]coupon.FailedEvent, len(p.deliveries))
	for i, d := range p.deliveries {
		events[i] = w.failedEvent(d, coupon.ReasonTransientExhausted, cause)
		events[i].EventKey, events[i].Status = d.Claim.EventKey(), coupon.FailurePending
	}
	return events
}

// dead keeps a record that can never become a row, under its position: poison must not occupy the key of a promise.
func (w *Worker) dead(d coupon.Delivery, cause error) coupon.FailedEvent {
	reason := coupon.ReasonMalformed
	if crash := new(panicked); errors.As(cause, &crash) {
		reason = coupon.ReasonPanic
	}
	e := w.failedEvent(d, reason, cause)
	e.EventKey, e.Status = d.Position, coupon.FailureDead
	return e
}

func (w *Worker) failedEvent(d coupon.Delivery, reason coupon.FailureReason, cause error) coupon.FailedEvent {
	now := w.config.Now()
	return coupon.FailedEvent{
		Campaign: d.Claim.Campaign, Epoch: d.Claim.Epoch, Claim: d.Claim, Payload: d.Payload,
		Reason: reason, Error: cause.Error(), NextAttemptAt: now, CreatedAt: now,
	}
}

// panicked is a panic as an error, with where it happened.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// rescue is deferred: it turns a panic into the error of the function that panicked.
func rescue(err *error) {
	if value := recover(); value != nil {
		*err = &panicked{value, debug.Stack()}
	}
}
