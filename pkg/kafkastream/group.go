package kafkastream

import "context"

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
// committed, or the log's start where it has committed nothing. It may go back after a rebalance, while the old owner of a
// partition is still at work.
func (g *Group) Committed(ctx context.Context) ([]int64, error) {
	lags, err := g.admin.Lag(ctx, g.group, g.topic)
	if err != nil {
		return nil, err
	}
	offsets := make([]int64, len(lags))
	for i, p := range lags {
		offsets[i] = max(p.Committed, p.Start)
	}
	return offsets, nil
}

// Ping returns nil when a broker answers.
func (g *Group) Ping(ctx context.Context) error { return g.admin.Ping(ctx) }
