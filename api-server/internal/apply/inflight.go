package apply

import (
	"context"
	"sync"
)

// inFlight counts what a server has taken on and not yet brought to its end: applies without an answer, and acks that
// Redis has not heard of. It bounds the applies, and lets the stop wait for both.
type inFlight struct {
	mu       sync.Mutex
	limit    int
	applies  int
	acks     int
	draining bool
	idle     chan struct{} // closed when draining and nothing is left
}

func newInFlight(limit int) *inFlight { return &inFlight{limit: limit, idle: make(chan struct{})} }

// enter takes one apply on, or says why not.
func (f *inFlight) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.draining {
		return errNotReady
	}
	if f.applies >= f.limit {
		return errOverloaded
	}
	f.applies++
	return nil
}

func (f *inFlight) answered() { f.change(-1, 0) }

func (f *inFlight) acked() { f.change(0, 1) }

func (f *inFlight) forgot(acks int) { f.change(0, -acks) }

func (f *inFlight) change(applies, acks int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applies += applies
	f.acks += acks
	f.closeIdle()
}

func (f *inFlight) depth() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applies
}

// drain takes nothing more on and waits until nothing is left, or ctx ends. It is called once.
func (f *inFlight) drain(ctx context.Context) error {
	f.mu.Lock()
	f.draining = true
	f.closeIdle()
	f.mu.Unlock()
	select {
	case <-f.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *inFlight) closeIdle() {
	if !f.draining || f.applies > 0 || f.acks > 0 {
		return
	}
	select {
	case <-f.idle:
	default:
		close(f.idle)
	}
}
