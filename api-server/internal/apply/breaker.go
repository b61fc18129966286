package apply

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	logFailures   = 3                      // publishes that failed in a row
	logPatience   = 400 * time.Millisecond // of trying without one ack
	logProbeEvery = 500 * time.Millisecond
)

// logBreaker keeps grants from waiting for a log that does not acknowledge. It opens after a few failures in a row, or
// some time of trying without an ack; the first ack of anything closes it.
type logBreaker struct {
	logger *slog.Logger

	mu        sync.Mutex
	open      bool
	failures  int          // since the last ack
	trying    time.Time    // since when there was neither an ack nor a failure; zero when nothing is tried
	probedAt  time.Time    // while open
	lastTried coupon.Claim // what a probe publishes
}

// begin reports whether publishing claim is worth the wait.
func (b *logBreaker) begin(now time.Time, claim coupon.Claim) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastTried = claim
	if b.trying.IsZero() {
		b.trying = now
	}
	b.set(b.open || now.Sub(b.trying) >= logPatience)
	return !b.open
}

func (b *logBreaker) acked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.trying = 0, time.Time{}
	b.set(false)
}

func (b *logBreaker) failed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	b.trying = time.Time{}
	b.set(b.open || b.failures >= logFailures)
}

func (b *logBreaker) away() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// probe returns a claim to publish if the log is away and was not probed for a moment.
func (b *logBreaker) probe(now time.Time) (coupon.Claim, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open || now.Sub(b.probedAt) < logProbeEvery {
		return coupon.Claim{}, false
	}
	b.probedAt = now
	return b.lastTried, true
}

func (b *logBreaker) set(open bool) {
	if open == b.open {
		return
	}
	b.open = open
	if open {
		b.logger.Warn("the log does not acknowledge: grants are issued without it")
		return
	}
	b.logger.Info("the log acknowledges again")
}

// databaseBreaker keeps answers from waiting for a database that does not answer. It opens when a call gets no answer, and
// is closed by the next view of the campaigns that is asked for after that, and read.
type databaseBreaker struct {
	view     *View
	failedAt atomic.Pointer[time.Time]
}

// failed takes in the error of a call. A database that answers, be it with an error, is not away: what it cannot do for one
// campaign must not keep the others' answers from being confirmed.
func (b *databaseBreaker) failed(err error) {
	if coupon.CodeOf(err) != coupon.CodeUnavailable && !errors.Is(err, context.DeadlineExceeded) {
		return
	}
	now := time.Now()
	b.failedAt.Store(&now)
	b.view.Reload()
}

func (b *databaseBreaker) away() bool {
	at := b.failedAt.Load()
	return at != nil && !b.view.asOf().After(*at)
}
