package kafkastream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// produceRequest is a batch for any partitions of a topic. The library's client takes one partition a request; its
// transport sends this one to each leader once, with all that the leader is to have.
type produceRequest struct {
	topic   string
	batch   []*message // sorted by partition; a request that was given up may still be reading it
	timeout int32      // milliseconds that the broker may wait for the replicas
}

func newProduceRequest(topic string, batch []*message) *produceRequest {
	sorted := slices.Clone(batch)
	slices.SortStableFunc(sorted, func(a, b *message) int { return cmp.Compare(a.partition, b.partition) })
	return &produceRequest{topic: topic, batch: sorted}
}

// roundTrip returns what became of each partition, nil for one whose every in-sync replica has the records, and how many
// leaders they had. An error leaves that unknown for all of them. ctx must have a deadline.
func (r *produceRequest) roundTrip(ctx context.Context, client *kafka.Client) (errs map[int32]error, leaders int, err error) {
	deadline, _ := ctx.Deadline()
	// Half of it, so that the broker's word on the partitions that are through comes in time, whatever one of them waits for.
	r.timeout = int32(max(1, time.Until(deadline).Milliseconds()/2))
	response, err := client.Transport.RoundTrip(ctx, client.Addr, r)
	if err != nil {
		return nil, 0, err
	}
	answers := response.(*produceAnswers)
	return answers.errs, len(answers.asked), nil
}

// ApiKey makes it a message of the library.
//
//nolint:revive // the library's name
func (r *produceRequest) ApiKey() protocol.ApiKey { return protocol.Produce }

// Split returns one request for each leader. Partitions without one are asked of nobody: the library fails their request.
func (r *produceRequest) Split(cluster protocol.Cluster) ([]protocol.Message, protocol.Merger, error) {
	leaders := cluster.Topics[r.topic].Partitions
	index := map[int32]int{} // of a leader's request
	var requests []protocol.Message
	answers := &produceAnswers{}
	for rest := r.batch; len(rest) > 0; {
		partition := rest[0].partition
		end := slices.IndexFunc(rest, func(m *message) bool { return m.partition != partition })
		if end < 0 {
			end = len(rest)
		}
		leader := nobody
		if p, known := leaders[partition]; known {
			leader = p.Leader
		}
		i, known := index[leader]
		if !known {
			i = len(requests)
			index[leader] = i
			requests = append(requests, &produce.Request{
				Acks: int16(kafka.RequireAll), Timeout: r.timeout, Topics: []produce.RequestTopic{{Topic: r.topic}},
			})
			answers.asked = append(answers.asked, nil)
		}
		topic := &requests[i].(*produce.Request).Topics[0]
		topic.Partitions = append(topic.Partitions, produce.RequestPartition{
			Partition: partition, RecordSet: protocol.RecordSet{Records: &records{batch: rest[:end]}},
		})
		answers.asked[i] = append(answers.asked[i], partition)
		rest = rest[end:]
	}
	return requests, answers, nil
}

// nobody is the leader of a partition that has none.
const nobody int32 = -1

var errUnanswered = errors.New("the broker did not speak of the partition")

// produceAnswers gathers what the leaders said.
type produceAnswers struct {
	asked [][]int32       // partitions by request; a request that was given up is still the library's
	errs  map[int32]error // by partition; nil is an ack
}

// ApiKey makes it a message of the library.
//
//nolint:revive // the library's name
func (a *produceAnswers) ApiKey() protocol.ApiKey { return protocol.Produce }

// Merge hears all leaders. A partition that nobody spoke of is not acknowledged.
func (a *produceAnswers) Merge(_ []protocol.Message, results []any) (protocol.Message, error) {
	a.errs = map[int32]error{}
	for i, partitions := range a.asked {
		response, err := protocol.Result(results[i])
		if err == nil {
			err = errUnanswered
		}
		for _, partition := range partitions {
			a.errs[partition] = err
		}
		if response == nil {
			continue
		}
		for _, topic := range response.(*produce.Response).Topics {
			for _, p := range topic.Partitions {
				if slices.Contains(partitions, p.Partition) {
					a.errs[p.Partition] = failureOf(p)
				}
			}
		}
	}
	return a, nil
}

// failureOf gathers the two places where the failure of a partition can be.
func failureOf(p produce.ResponsePartition) error {
	var all []error
	if p.ErrorCode != 0 {
		all = append(all, fmt.Errorf("%w %s", kafka.Error(p.ErrorCode), p.ErrorMessage))
	}
	for _, e := range p.RecordErrors {
		all = append(all, fmt.Errorf("record %d: %s", e.BatchIndex, e.BatchIndexErrorMessage))
	}
	return errors.Join(all...)
}
