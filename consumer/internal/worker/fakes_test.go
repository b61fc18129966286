package worker

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
)

// fakeSource and fakeRecord are made of functions; a test replaces the one it is about.
type (
	fakeSource struct {
		fetch  func(ctx context.Context) (kafkastream.Record, error)
		commit func(ctx context.Context, records []kafkastream.Record) error
	}
	fakeRecord struct {
		issue func(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error)
		park  func(ctx context.Context, events []coupon.FailedEvent) error
		ping  func(ctx context.Context) error
	}
)

// bench is a worker between a log and a database that do as they are told. By default everything works; what happened
// is told by steps, in order: "issue a 2", "park 1", "commit 0-4".
type bench struct {
	t      *testing.T
	log    chan kafkastream.Record
	source fakeSource
	record fakeRecord
	config Config
	worker *Worker

	mu     sync.Mutex
	steps  []string
	parked []coupon.FailedEvent

	begun        atomic.Bool
	committed    atomic.Int64 // the last offset, where a test keeps it
	atGate, open chan struct{}

	lines    lockedBuffer
	registry *prometheus.Registry
	offset   int64
	ended    chan error
	stop     context.CancelFunc
}

// bubble runs a test in fake time: waiting costs nothing, and an outage of an hour is over at once.
func bubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer func() { b.stop() }() // a failed test must not leave its worker behind: the bubble would call that a deadlock
		test(b)
	})
}

func newBench(t *testing.T) *bench {
	b := &bench{
		t: t, log: make(chan kafkastream.Record, 10_000), registry: prometheus.NewRegistry(), ended: make(chan error, 1),
		atGate: make(chan struct{}), open: make(chan struct{}), stop: func() {},
		config: Config{Batch: 500, Lanes: 4, Patience: 30 * time.Second, Drain: 20 * time.Second, Now: time.Now},
	}
	b.source.fetch = func(ctx context.Context) (kafkastream.Record, error) {
		select {
		case r := <-b.log:
			return r, nil
		case <-ctx.Done():
			return kafkastream.Record{}, ctx.Err()
		}
	}
	b.source.commit = func(context.Context, []kafkastream.Record) error { return nil }
	b.record.issue = allIssued
	b.record.park = func(context.Context, []coupon.FailedEvent) error { return nil }
	b.record.ping = func(context.Context) error { return nil }
	return b
}

func allIssued(_ context.Context, _ string, deliveries []coupon.Delivery) ([]coupon.Result, error) {
	results := make([]coupon.Result, len(deliveries))
	for i := range results {
		results[i].Outcome = coupon.OutcomeIssued
	}
	return results, nil
}

// start runs the worker; what the log holds by now is one batch if it fits.
func (b *bench) start() {
	ctx, cancel := context.WithCancel(b.t.Context())
	b.stop = cancel
	logger := slog.New(slog.NewJSONHandler(&b.lines, nil))
	b.worker = New(recordedSource{b}, recordedRecord{b}, b.config, NewMetrics(b.registry), logger)
	go func() { b.ended <- b.worker.Run(ctx) }()
	synctest.Wait()
	close(b.open)
	synctest.Wait()
}

// pass lets time pass, in no time, until the worker waits again.
func (b *bench) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// end stops the worker and returns what Run did.
func (b *bench) end() error {
	b.stop()
	return <-b.ended
}

// send appends claims of one campaign to the log, one for each user.
func (b *bench) send(campaign string, users ...string) {
	for _, user := range users {
		b.append(event.Encode(b.claim(campaign, user)), nil)
	}
}

func (b *bench) claim(campaign, user string) coupon.Claim {
	return coupon.Claim{
		Key:   coupon.Key{Campaign: campaign, User: user, N: 1},
		Epoch: 1, Serial: b.offset + 1, ClaimedAt: time.Now().Add(-time.Second),
	}
}

func (b *bench) append(value []byte, headers []event.Header) {
	b.log <- kafkastream.Record{Topic: "claims", Partition: int(b.offset % 2), Offset: b.offset, Value: value, Headers: headers}
	b.offset++
}

func (b *bench) step(words ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps = append(b.steps, strings.Join(words, " "))
}

func (b *bench) requireSteps(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Equal(b.t, want, b.steps)
}

func (b *bench) count(step string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.steps {
		if strings.HasPrefix(s, step) {
			n++
		}
	}
	return n
}

// failedSteps are those that ended in an error.
func (b *bench) failedSteps() (failures []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.steps {
		if strings.HasSuffix(s, " failed") {
			failures = append(failures, s)
		}
	}
	return failures
}

func (b *bench) failedEvents() []coupon.FailedEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parked
}

func (b *bench) requireMetric(name, want string) {
	b.t.Helper()
	require.NoError(b.t, testutil.GatherAndCompare(b.registry, strings.NewReader(want), name))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// with returns the log lines that contain text.
func (l *lockedBuffer) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}
