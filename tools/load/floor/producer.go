package floor

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
)

// Producer publishes claims to a topic of its own, with acks of all and nothing around it.
type Producer struct {
	topic   *topic
	publish func(claim coupon.Claim, done func(error))
	close   func(ctx context.Context) error
}

const (
	// mostInFlight is far above what can wait: a floor has no bound to run into.
	mostInFlight = 100_000
	batchSize    = 500
	keptIdle     = 9 * time.Minute // brokers close a connection after 10
	// linger is for how long a Writer gathers a batch: of 1, 2, 5 and 10 ms the one with the lowest p99, on two cores at 5,000
	// to 6,600 claims a second.
	linger = 5 * time.Millisecond
)

// NewProducer returns the api-server's producer: kafka-go's client, what waits for a partition in one batch.
func NewProducer(ctx context.Context, brokers string) (*Producer, error) {
	t, err := newTopic(ctx, brokers)
	if err != nil {
		return nil, err
	}
	config := kafkastream.Config{Brokers: strings.Split(brokers, ","), ClientID: "load"}
	own := kafkastream.NewProducer(config, t.name, mostInFlight)
	publish := func(claim coupon.Claim, done func(error)) { own.Publish(claim, time.Now().Add(setupBound), done) }
	return &Producer{topic: t, publish: publish, close: own.Close}, nil
}

// NewWriter returns kafka-go's own producer, its Writer, told of acknowledgements by a call for each batch.
func NewWriter(ctx context.Context, brokers string) (*Producer, error) {
	t, err := newTopic(ctx, brokers)
	if err != nil {
		return nil, err
	}
	writer := &kafka.Writer{
		Addr: t.client.Addr, Topic: t.name, Balancer: kafka.Murmur2Balancer{Consistent: true}, Transport: t.transport,
		RequiredAcks: kafka.RequireAll, BatchTimeout: linger, BatchSize: batchSize, Async: true,
		Completion: func(messages []kafka.Message, err error) {
			for _, m := range messages {
				m.WriterData.(func(error))(err)
			}
		},
	}
	publish := func(claim coupon.Claim, done func(error)) {
		m := kafka.Message{Key: event.Key(claim), Value: event.Encode(claim), WriterData: done}
		for _, h := range event.Headers(claim) {
			m.Headers = append(m.Headers, kafka.Header(h))
		}
		if err := writer.WriteMessages(context.Background(), m); err != nil {
			done(err)
		}
	}
	return &Producer{topic: t, publish: publish, close: func(context.Context) error { return writer.Close() }}, nil
}

// Follow publishes a claim for each apply of a plan, at its time, and returns how long the acknowledgements took, counted
// from that time. What the log did not acknowledge is an error.
func (p *Producer) Follow(ctx context.Context, plan *arrival.Stream) (measure.Result, error) {
	var recorder measure.Recorder
	var waiting sync.WaitGroup
	var mu sync.Mutex
	var failed error
	begin := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		apply, more := plan.Next()
		if !more {
			break
		}
		if early := time.Until(begin.Add(apply.At)); early > 0 {
			<-time.After(early)
		}
		claim := coupon.Claim{
			Key: coupon.Key{Campaign: p.topic.name, User: user(int64(i)), N: 1}, Epoch: 1, Serial: int64(i) + 1, ClaimedAt: time.Now(),
		}
		sent := time.Since(begin)
		waiting.Add(1)
		p.publish(claim, func(err error) {
			defer waiting.Done()
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
				return
			}
			recorder.Add(i, measure.Sample{
				Answer: told.Answer{Kind: told.Accepted}, Intended: apply.At, Sent: sent, Received: time.Since(begin),
			})
		})
	}
	waiting.Wait()
	return recorder.Result(begin, time.Since(begin)), errors.Join(failed, ctx.Err())
}

// Close ends the producer and removes the topic.
func (p *Producer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), setupBound)
	defer cancel()
	return errors.Join(p.close(ctx), p.topic.drop())
}

// topic is one of a floor's own, with as many partitions as the one of the claims.
type topic struct {
	client    *kafka.Client
	transport *kafka.Transport
	name      string
}

// newTopic returns when each partition takes records.
func newTopic(ctx context.Context, brokers string) (*topic, error) {
	ctx, cancel := context.WithTimeout(ctx, setupBound)
	defer cancel()
	transport := &kafka.Transport{IdleTimeout: keptIdle}
	t := &topic{
		client:    &kafka.Client{Addr: kafka.TCP(strings.Split(brokers, ",")...), Timeout: setupBound, Transport: transport},
		transport: transport, name: ownName(),
	}
	created, err := t.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: t.name, NumPartitions: kafkastream.Partitions, ReplicationFactor: 1},
	}})
	if created != nil {
		err = errors.Join(err, created.Errors[t.name])
	}
	if err != nil {
		return nil, err
	}
	for partition := range kafkastream.Partitions {
		if err := t.awaitLeader(ctx, partition); err != nil {
			return nil, errors.Join(err, t.drop())
		}
	}
	return t, nil
}

// awaitLeader produces until it is taken: the partitions of a new topic have no leaders at once.
func (t *topic) awaitLeader(ctx context.Context, partition int) error {
	const poll = 50 * time.Millisecond
	for {
		err := t.produce(ctx, partition, 1)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(poll):
		}
	}
}

func (t *topic) drop() error {
	defer t.transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), setupBound)
	defer cancel()
	_, err := t.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{t.name}})
	return err
}
