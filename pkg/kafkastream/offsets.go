package kafkastream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
)

// NotCommitted is the Committed of a partition of which the group never committed an offset.
const NotCommitted = -1

// PartitionLag is how far a group is with one partition.
type PartitionLag struct {
	Partition int
	Start     int64 // the oldest offset the log has
	End       int64 // the offset the next record will get
	Committed int64 // the offset the group reads next, or NotCommitted
}

// Lag returns how many records the group has not finished.
func (p PartitionLag) Lag() int64 { return max(0, p.End-max(p.Committed, p.Start)) }

// Reached reports whether the group has finished every record before end.
func (p PartitionLag) Reached(end int64) bool { return p.finished() >= end }

// finished returns the offset before which the group has finished every record. An offset beyond the log's end is of another
// log, one that was lost or made anew, and says nothing of this one.
func (p PartitionLag) finished() int64 {
	if p.Committed > p.End {
		return p.Start
	}
	return max(p.Committed, p.Start)
}

// TotalLag returns how many records the group has not finished in all partitions together.
func TotalLag(partitions []PartitionLag) (total int64) {
	for _, p := range partitions {
		total += p.Lag()
	}
	return total
}

// settling is how long a question is asked again while brokers say that somebody else is in charge now: right after a
// topic or the first group of a cluster came to be, and while leaders move.
const settling = 5 * time.Second

// Lag returns where the group is with each partition of a topic, in order. The offsets of the group are read before the
// ends of the log, so the lag is never less than it was at the call.
func (a *Admin) Lag(ctx context.Context, group, topic string) ([]PartitionLag, error) {
	for deadline := time.Now().Add(settling); ; {
		lags, err := a.lag(ctx, group, topic)
		if !moved(err) || time.Now().After(deadline) {
			return lags, err
		}
		if rest(ctx, shortestPause); ctx.Err() != nil {
			return nil, err
		}
	}
}

// moved reports whether a broker refused because another one is, or will soon be, in charge.
func moved(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case kafka.NotCoordinatorForGroup, kafka.GroupCoordinatorNotAvailable, kafka.GroupLoadInProgress,
		kafka.NotLeaderForPartition, kafka.LeaderNotAvailable:
		return true
	default:
		return false
	}
}

func (a *Admin) lag(ctx context.Context, group, topic string) ([]PartitionLag, error) {
	partitions, err := metadataOf(ctx, a.client, topic)
	if err != nil {
		return nil, coupon.Unavailable("lag of "+group, err)
	}
	lags := make([]PartitionLag, len(partitions))
	for i := range lags {
		lags[i] = PartitionLag{Partition: i, Committed: NotCommitted}
	}
	if err := a.committed(ctx, group, topic, lags); err != nil {
		return nil, coupon.Unavailable("offsets of "+group, err)
	}
	if err := a.bounds(ctx, topic, lags); err != nil {
		return nil, coupon.Unavailable("ends of "+topic, err)
	}
	return lags, nil
}

func (a *Admin) committed(ctx context.Context, group, topic string, lags []PartitionLag) error {
	ids := make([]int, len(lags))
	for i := range ids {
		ids[i] = i
	}
	response, err := a.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: group, Topics: map[string][]int{topic: ids},
	})
	if err == nil {
		err = response.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) {
		return nil // some brokers say so of a group that has committed nothing
	}
	if err != nil {
		return err
	}
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			return p.Error
		}
		lags[p.Partition].Committed = p.CommittedOffset
	}
	return nil
}

func (a *Admin) bounds(ctx context.Context, topic string, lags []PartitionLag) error {
	requests := make([]kafka.OffsetRequest, 0, 2*len(lags))
	for i := range lags {
		requests = append(requests, kafka.FirstOffsetOf(i), kafka.LastOffsetOf(i))
	}
	response, err := a.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: requests},
	})
	if err != nil {
		return err
	}
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			return p.Error
		}
		lags[p.Partition].Start, lags[p.Partition].End = p.FirstOffset, p.LastOffset
	}
	return nil
}

// SeekToEnd commits the ends of the log for a group that has no members, so that its next reader sees new records only.
// The brokers refuse it while a member is there.
func (a *Admin) SeekToEnd(ctx context.Context, group, topic string) error {
	lags, err := a.Lag(ctx, group, topic)
	if err != nil {
		return err
	}
	commits := make([]kafka.OffsetCommit, len(lags))
	for i, p := range lags {
		commits[i] = kafka.OffsetCommit{Partition: i, Offset: p.End}
	}
	response, err := a.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: commits},
	})
	if err != nil {
		return coupon.Unavailable("seek "+group+" to the end", err)
	}
	var failed []error
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			failed = append(failed, fmt.Errorf("seek %s to the end of %s/%d: %w", group, topic, p.Partition, p.Error))
		}
	}
	return errors.Join(failed...)
}

// Barrier appends a no-op (event.IsBarrier) to every partition of a topic and returns, by partition, the offset after it:
// every record acknowledged before the call lies before that end. It asks for fresh metadata, and sends a no-op again
// until a leader with all in-sync replicas takes it, ctx ends, or the brokers refuse it for a reason that does not pass; the
// ends are those of the acknowledged ones. id names the fence.
func (a *Admin) Barrier(ctx context.Context, topic, id string) ([]int64, error) {
	transport := a.cfg.transport(topic)
	defer transport.CloseIdleConnections()
	client := adminClient(a.cfg, transport)
	count, err := partitionCount(ctx, client, topic)
	if err != nil {
		return nil, coupon.Unavailable("barrier in "+topic, err)
	}
	ends := make([]int64, count)
	for i := range ends {
		if ends[i], err = insist(ctx, client, topic, i, id); err != nil {
			return nil, coupon.Unavailable(fmt.Sprintf("barrier in %s/%d", topic, i), err)
		}
	}
	return ends, nil
}

// insist appends one no-op and returns the offset after it. It goes on for as long as ctx and the brokers leave hope, and
// tells what a broker said last: that ctx has ended says little.
func insist(ctx context.Context, client *kafka.Client, topic string, partition int, id string) (int64, error) {
	var said error
	for {
		offset, err := appendBarrier(ctx, client, topic, partition, id)
		if err == nil {
			return offset + 1, nil
		}
		var code kafka.Error
		if answered := errors.As(err, &code); answered || said == nil {
			said = err
		}
		if code != 0 && !code.Temporary() {
			return 0, said
		}
		if rest(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return 0, said
		}
	}
}

// appendBarrier tries once, and returns the no-op's offset.
func appendBarrier(ctx context.Context, client *kafka.Client, topic string, partition int, id string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	response, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic:        topic,
		Partition:    partition,
		RequiredAcks: kafka.RequireAll,
		Records:      &records{batch: []*message{{headers: event.BarrierHeaders(id)}}},
	})
	if err = errorOf(response, err); err != nil {
		return 0, err
	}
	return response.BaseOffset, nil
}

// errorOf gathers the three places where the failure of a produce request can be.
func errorOf(response *kafka.ProduceResponse, err error) error {
	if err != nil {
		return err
	}
	all := []error{response.Error}
	for i, err := range response.RecordErrors {
		all = append(all, fmt.Errorf("record %d: %w", i, err))
	}
	return errors.Join(all...)
}
