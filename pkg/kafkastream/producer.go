package kafkastream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The errors of a message that was not sent at all. Any other error of Publish is a coupon.CodeUnavailable and leaves
// the outcome unknown.
var (
	ErrFull   error = coupon.NewError(coupon.CodeOverloaded, "the producer has as many messages in flight as it may")
	ErrClosed error = coupon.NewError(coupon.CodeUnavailable, "the producer is closed")
)

// Producer publishes claims to one topic. Each broker has one goroutine that sends what has gathered for the partitions it
// leads while the last request was on the way. What fails is sent again until its deadline: the log may hold a claim
// twice, which issue() takes for one.
type Producer struct {
	client    *kafka.Client
	transport *kafka.Transport
	topic     string
	bound     int64
	room      *semaphore.Weighted // one unit a message in flight

	closed   atomic.Bool
	ctx      context.Context // ends when Close gives up
	giveUp   context.CancelFunc
	quit     chan struct{} // closed when nothing is in flight and nothing can be any more
	routines sync.WaitGroup

	unrouted *lane                   // messages taken before the number of partitions was known
	learning *semaphore.Weighted     // one at a time learns the partitions
	parts    atomic.Pointer[routing] // nil until then
}

// routing is the lanes of a topic by partition. The number of partitions is fixed for the life of a producer, so a key
// stays where it is. Partitions share a lane when one broker led them all at the start; when leaders have moved since,
// its requests are split.
type routing struct {
	ids   []int
	lanes []*lane
}

// NewProducer returns a producer to topic that holds at most inFlight messages. It does not wait for Kafka: until a
// broker tells how many partitions there are, messages wait for it within their deadlines.
func NewProducer(cfg Config, topic string, inFlight int) *Producer {
	bound := int64(max(inFlight, 1))
	transport := cfg.transport(topic)
	ctx, cancel := context.WithCancel(context.Background())
	p := &Producer{
		// Without a Timeout the client would ask the broker to wait for the replicas for 500 ms only.
		client:    &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: attemptTimeout, Transport: transport},
		transport: transport,
		topic:     topic,
		bound:     bound,
		room:      semaphore.NewWeighted(bound),
		learning:  semaphore.NewWeighted(1),
		ctx:       ctx,
		giveUp:    cancel,
		quit:      make(chan struct{}),
	}
	p.unrouted = p.start(p.route)
	p.routines.Go(func() { _ = p.learn(p.ctx) }) // so that the first message finds the lanes; if it fails, they will try
	return p
}

// Publish sends a claim and never blocks. done is called exactly once: with nil when every in-sync replica has the
// record, with an error when that is not known by the deadline. ErrFull and ErrClosed say that nothing was sent, and
// come before Publish returns; every other answer comes from a goroutine that serves many claims, so done must be quick.
func (p *Producer) Publish(claim coupon.Claim, deadline time.Time, done func(error)) {
	if err := p.enter(); err != nil {
		done(err)
		return
	}
	m := newMessage(claim, deadline, done)
	if parts := p.parts.Load(); parts != nil {
		parts.put(m)
		return
	}
	p.unrouted.queue <- m
}

// enter takes a place in flight. closed is read after the place is taken: Close sets it before it waits for all places,
// so a message that passes here is one Close waits for.
func (p *Producer) enter() error {
	if !p.room.TryAcquire(1) {
		if p.closed.Load() {
			return ErrClosed
		}
		return ErrFull
	}
	if p.closed.Load() {
		p.room.Release(1)
		return ErrClosed
	}
	return nil
}

// answer frees the message's place first, so that done may publish again.
func (p *Producer) answer(m *message, err error) {
	p.room.Release(1)
	m.done(err)
}

func (p *Producer) expire(m *message, cause error) {
	if p.ctx.Err() != nil {
		p.answer(m, coupon.Unavailable("the producer was closed before the log acknowledged the claim", cause))
		return
	}
	if cause == nil {
		cause = context.DeadlineExceeded
	}
	p.answer(m, coupon.Unavailable("the log did not acknowledge the claim in time", cause))
}

func (p *Producer) start(deliver func(context.Context, []*message) ([]*message, error)) *lane {
	l := &lane{queue: make(chan *message, p.bound), deliver: deliver, expire: p.expire}
	p.routines.Go(func() { l.run(p.ctx, p.quit) })
	return l
}

// route hands messages to the lanes of their partitions.
func (p *Producer) route(ctx context.Context, batch []*message) ([]*message, error) {
	if err := p.learn(ctx); err != nil {
		return slices.Clone(batch), err
	}
	parts := p.parts.Load()
	for _, m := range batch {
		parts.put(m)
	}
	return nil, nil
}

// learn asks for the number of partitions and starts their lanes, unless that is done.
func (p *Producer) learn(ctx context.Context) error {
	if err := p.learning.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.learning.Release(1)
	if p.parts.Load() != nil {
		return nil
	}
	partitions, err := metadataOf(ctx, p.client, p.topic)
	if err != nil {
		return err
	}
	parts := &routing{ids: make([]int, len(partitions)), lanes: make([]*lane, len(partitions))}
	led := map[int]*lane{}
	for i, partition := range partitions {
		if led[partition.Leader.ID] == nil {
			led[partition.Leader.ID] = p.start(p.send)
		}
		parts.ids[i], parts.lanes[i] = i, led[partition.Leader.ID]
	}
	p.parts.Store(parts)
	return nil
}

// put queues a message for its partition.
func (r *routing) put(m *message) {
	partition := r.partition(m.key)
	m.partition = int32(partition)
	r.lanes[partition].queue <- m
}

// partition returns the one of a key, by the hash that Java's clients use.
func (r *routing) partition(key []byte) int {
	return kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: key}, r.ids...)
}

// send writes a batch, answers what all replicas have, and returns the rest: some or all of that may be in the log.
func (p *Producer) send(ctx context.Context, batch []*message) (left []*message, cause error) {
	request := newProduceRequest(p.topic, batch)
	errs, err := request.roundTrip(ctx, p.client)
	if err != nil {
		return slices.Clone(batch), fmt.Errorf("produce %d records to %s: %w", len(batch), p.topic, err)
	}
	for _, m := range batch {
		if err := errs[m.partition]; err != nil {
			left, cause = append(left, m), fmt.Errorf("produce to %s/%d: %w", p.topic, m.partition, err)
			continue
		}
		p.answer(m, nil)
	}
	return left, cause
}

// PublishAll publishes claims and waits for every answer: errs[i] is nil when the log has claims[i]. It sends a few
// hundred at a time, and lets those that find the producer full fail, so that applies come first. It returns at most
// a few seconds after ctx has ended.
func (p *Producer) PublishAll(ctx context.Context, claims []coupon.Claim) []error {
	const patience = 5 * time.Second
	errs := make([]error, len(claims))
	step := int(min(p.bound, batchLimit))
	for from := 0; from < len(claims); from += step {
		deadline := time.Now().Add(patience)
		if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
			deadline = d
		}
		var answers sync.WaitGroup
		for i := from; i < min(from+step, len(claims)); i++ {
			if errs[i] = ctx.Err(); errs[i] != nil {
				continue
			}
			answers.Add(1)
			p.Publish(claims[i], deadline, func(err error) {
				errs[i] = err
				answers.Done()
			})
		}
		answers.Wait()
	}
	return errs
}

// Close takes no more messages and waits until every one it took is answered, or ctx ends: the rest is then answered
// with an error at once, and Close says so.
func (p *Producer) Close(ctx context.Context) error {
	if p.closed.Swap(true) {
		return nil
	}
	err := p.room.Acquire(ctx, p.bound)
	p.giveUp()
	if err != nil {
		_ = p.room.Acquire(context.Background(), p.bound) // soon: the lanes expire all they hold
		err = fmt.Errorf("flush the producer: %w", err)
	}
	close(p.quit)
	p.routines.Wait()
	p.transport.CloseIdleConnections()
	return err
}
