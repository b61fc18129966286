package kafkastream

import (
	"context"
	"runtime"
	"slices"
	"time"
)

const (
	batchLimit     = 500
	attemptTimeout = 2 * time.Second // the longest that one attempt may hold its lane
	shortestPause  = 20 * time.Millisecond
	longestPause   = 500 * time.Millisecond

	// tooLate is what must be left of a deadline for an attempt to be worth making. One message about to expire would
	// cut the attempt of all the others in its batch short.
	tooLate = 20 * time.Millisecond
)

// lane is one queue and its one goroutine: it takes what is queued, tries to deliver it, and answers what is past its
// deadline. While one batch is on its way the next one gathers, so batches grow with the load and no timer is needed.
type lane struct {
	queue chan *message // never full: it can hold everything the producer lets in

	// deliver answers the messages of a batch that came through, and returns the others, in a slice of their own, with
	// the reason. It keeps no part of the batch itself.
	deliver func(ctx context.Context, batch []*message) (left []*message, cause error)
	// expire answers one message that was not delivered.
	expire func(m *message, cause error)
}

// run ends when quit is closed. Once ctx has ended it expires everything it is given.
func (l *lane) run(ctx context.Context, quit <-chan struct{}) {
	for {
		select {
		case m := <-l.queue:
			l.work(ctx, m)
		case <-quit:
			return
		}
	}
}

// work goes on until nothing is left that it took from the queue. Who waits longest goes first, and what has failed goes
// last, so that it never fills a batch while there is something else to send.
func (l *lane) work(ctx context.Context, first *message) {
	waiting, failed := []*message{first}, []*message(nil)
	pause := shortestPause
	for cause := error(nil); ; {
		runtime.Gosched() // whoever can run now may have a message for this batch
		waiting = l.dropExpired(ctx, l.takeQueued(waiting), cause)
		failed = l.dropExpired(ctx, failed, cause)
		fresh := min(len(waiting), batchLimit)
		again := min(len(failed), batchLimit-fresh)
		if fresh+again == 0 {
			return
		}
		batch := slices.Concat(waiting[:fresh], failed[:again])
		var left []*message
		left, cause = l.attempt(ctx, batch)
		waiting, failed = waiting[fresh:], append(failed[again:], left...)
		if len(left) < len(batch) { // a partition that fails does not hold up the others
			pause = shortestPause
			continue
		}
		rest(ctx, min(pause, time.Until(earliest(left))-tooLate))
		pause = min(2*pause, longestPause)
	}
}

func (l *lane) takeQueued(held []*message) []*message {
	for {
		select {
		case m := <-l.queue:
			held = append(held, m)
		default:
			return held
		}
	}
}

// dropExpired answers what cannot be delivered in time and returns the others.
func (l *lane) dropExpired(ctx context.Context, held []*message, cause error) []*message {
	now := time.Now()
	ended := ctx.Err() != nil
	if len(held) == 0 || !ended && earliest(held).Sub(now) > tooLate {
		return held
	}
	live := make([]*message, 0, len(held))
	for _, m := range held {
		if ended || m.deadline.Sub(now) <= tooLate {
			l.expire(m, cause)
		} else {
			live = append(live, m)
		}
	}
	return live
}

func (l *lane) attempt(ctx context.Context, batch []*message) ([]*message, error) {
	deadline := time.Now().Add(attemptTimeout)
	if e := earliest(batch); e.Before(deadline) {
		deadline = e
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return l.deliver(ctx, batch)
}

func earliest(held []*message) time.Time {
	e := held[0].deadline
	for _, m := range held[1:] {
		if m.deadline.Before(e) {
			e = m.deadline
		}
	}
	return e
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
