package kafkastream

import (
	"context"
	"time"
)

// pingBound is how long Ping waits for the log.
const pingBound = 2 * time.Second

// Group is one consumer group on one topic, as a fence sees it: where the log ends, and how far the group has come.
type Group struct {
	admin        *Admin
	group, topic string
}

// NewGroup returns a group's progress with a topic, as the brokers tell it.
func NewGroup(admin *Admin, group, topic string) *Group {
	return &Group{admin: admin, group: group, topic: topic}
}

// Barrier appends a no-op to every partition and returns, by partition, the offset after it. See Admin.Barrier.
func (g *Group) Barrier(ctx context.Context, id string) ([]int64, error) {
	return g.admin.Barrier(ctx, g.topic, id)
}

// Committed returns, by partition, the offset before which the group has finished every record the log still has: what it
// committed, or the log's start where it has committed nothing, or what the log does not have. It may go back after a
// rebalance, while the old owner of a partition is still at work.
func (g *Group) Committed(ctx context.Context) ([]int64, error) {
	lags, err := g.admin.Lag(ctx, g.group, g.topic)
	if err != nil {
		return nil, err
	}
	offsets := make([]int64, len(lags))
	for i, p := range lags {
		offsets[i] = p.finished()
	}
	return offsets, nil
}

// Ping returns nil when a fence can end: every partition has taken a no-op, with all in-sync replicas, and the group's
// progress is known, within 2 s. A broker that merely answers says neither.
func (g *Group) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingBound)
	defer cancel()
	if _, err := g.Barrier(ctx, "ping"); err != nil {
		return err
	}
	_, err := g.Committed(ctx)
	return err
}
