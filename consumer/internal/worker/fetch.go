package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
)

const (
	shortestPause = 50 * time.Millisecond
	longestPause  = 2 * time.Second
	quiet         = 5 * time.Second // between two log lines about the same trouble
)

// entry is a record and what it says: a claim, nothing (a barrier), or something that is not an event.
type entry struct {
	record  kafkastream.Record
	claim   coupon.Claim
	barrier bool
	poison  error
}

// fetch decodes records into out until ctx ends (nil), or the log is closed or has lost records that were not read (an
// error). Any other trouble is the log's own to get over.
func (w *Worker) fetch(ctx context.Context, out chan<- entry) error {
	pause := newPause()
	for {
		r, err := w.source.Fetch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, kafkastream.ErrOffsetLost) {
			return fmt.Errorf("read the log: %w", err)
		}
		if err != nil {
			w.fetchTrouble.Do(func() { w.logger.Warn("the log cannot be read, trying again", "error", err) })
			if wait(ctx, pause.NextBackOff()) != nil {
				return nil
			}
			continue
		}
		pause.Reset()
		select {
		case out <- decode(r):
		case <-ctx.Done():
			return nil
		}
	}
}

func decode(r kafkastream.Record) (e entry) {
	e.record = r
	defer rescue(&e.poison)
	if e.barrier = event.IsBarrier(r.Headers); !e.barrier {
		e.claim, e.poison = event.Decode(r.Value)
	}
	return e
}

func newPause() *backoff.ExponentialBackOff {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = shortestPause, longestPause
	pause.Reset()
	return pause
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
