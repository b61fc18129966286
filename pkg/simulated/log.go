package simulated

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

var errAway = errors.New("away")

// Entry is a record of the simulated log: a claim, or a barrier.
type Entry struct {
	Partition int
	Offset    int64
	Claim     coupon.Claim
	Barrier   bool
}

// logState is the log itself: partitions that only grow, and how far the group has committed.
type logState struct {
	mu         sync.Mutex
	partitions [][]Entry
	committed  []int64
	finished   []int64 // the furthest that was ever committed
	down       bool
	changed    chan struct{} // closed when there may be something to read
}

// Log is the log as one caller reaches it.
type Log struct {
	*logState
	line *Line
}

// NewLog returns an empty log, reached without a line.
func NewLog(partitions int) *Log {
	return &Log{logState: &logState{
		partitions: make([][]Entry, partitions), changed: make(chan struct{}),
		committed: make([]int64, partitions), finished: make([]int64, partitions),
	}}
}

// Via returns the same log as reached by a line.
func (l *Log) Via(line *Line) *Log { return &Log{logState: l.logState, line: line} }

// Down makes the log refuse everything, or answer again. What it acknowledged stays.
func (l *Log) Down(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	l.wake()
}

// wake lets those who read look again.
func (l *logState) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *logState) append(e Entry) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return 0, coupon.Unavailable("append", errAway)
	}
	e.Offset = int64(len(l.partitions[e.Partition]))
	l.partitions[e.Partition] = append(l.partitions[e.Partition], e)
	l.wake()
	return e.Offset, nil
}

func (l *logState) partitionOf(c coupon.Claim) int {
	return int(hash(c.Campaign+":"+c.User) % uint64(len(l.partitions)))
}

// Publish appends a claim and calls done once: nil when the log has it, an error when that is unknown.
func (l *Log) Publish(claim coupon.Claim, deadline time.Time, done func(error)) {
	t := l.publishing(claim)
	go func() {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		done(l.publish(ctx, t, claim))
	}()
}

func (l *Log) publishing(claim coupon.Claim) trip { return l.line.trip("publish " + claim.EventKey()) }

func (l *Log) publish(ctx context.Context, t trip, claim coupon.Claim) error {
	_, err := carry(ctx, t, func() (int64, error) {
		return l.append(Entry{Partition: l.partitionOf(claim), Claim: claim})
	})
	return err
}

// PublishAll appends claims and returns what became of each.
func (l *Log) PublishAll(ctx context.Context, claims []coupon.Claim) []error {
	errs := make([]error, len(claims))
	var all sync.WaitGroup
	for i, claim := range claims {
		t := l.publishing(claim)
		all.Go(func() { errs[i] = l.publish(ctx, t, claim) })
	}
	all.Wait()
	return errs
}

// Barrier appends a no-op to every partition and returns the offsets after them. It insists until ctx ends.
func (l *Log) Barrier(ctx context.Context, id string) ([]int64, error) {
	ends := make([]int64, len(l.partitions))
	for p := range ends {
		for {
			offset, err := call(ctx, l.line, fmt.Sprintf("barrier %s %d", id, p), func() (int64, error) {
				return l.append(Entry{Partition: p, Barrier: true})
			})
			if err == nil {
				ends[p] = offset + 1
				break
			}
			if pass(100 * time.Millisecond); ctx.Err() != nil {
				return nil, coupon.Unavailable("barrier", ctx.Err())
			}
		}
	}
	return ends, nil
}

// Committed returns the offset the group reads next, by partition.
func (l *Log) Committed(ctx context.Context) ([]int64, error) {
	return call(ctx, l.line, "committed", func() ([]int64, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.down {
			return nil, coupon.Unavailable("committed", errAway)
		}
		return slices.Clone(l.committed), nil
	})
}

// Ping says whether the log answers.
func (l *Log) Ping(ctx context.Context) error {
	_, err := l.Committed(ctx)
	return err
}

// Commit sets what the group reads next. It may go back, as after a rebalance with the old owner still at work.
func (l *Log) Commit(ctx context.Context, partition int, next int64) error {
	_, err := call(ctx, l.line, fmt.Sprint("commit ", partition), func() (struct{}, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.down {
			return struct{}{}, coupon.Unavailable("commit", errAway)
		}
		l.committed[partition] = next
		l.finished[partition] = max(l.finished[partition], next)
		return struct{}{}, nil
	})
	return err
}

// Read returns the entries of a partition from an offset on, at most limit, waiting for one until ctx ends.
func (l *Log) Read(ctx context.Context, partition int, from int64, limit int) ([]Entry, error) {
	for {
		l.mu.Lock()
		entries, down, changed := l.partitions[partition], l.down, l.changed
		l.mu.Unlock()
		if !down && from < int64(len(entries)) {
			entries = entries[from:]
			return entries[:min(len(entries), limit)], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Lag returns how many entries nobody of the group has finished. A late commit of an old owner sets the offset back, not the
// rows.
func (l *Log) Lag() (lag int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, entries := range l.partitions {
		lag += int64(len(entries)) - l.finished[p]
	}
	return lag
}
