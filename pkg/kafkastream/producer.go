package kafkastream

import (
	"context"
	"fmt"
	"maps"
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

// Producer publishes claims to one topic. Each leader has one goroutine that sends what has gathered for its partitions
// while the last request was on the way. What fails is sent again until its deadline: the log may hold a claim
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
// stays where it is. Partitions share a lane while one broker leads them, so that one that hangs holds up its own only.
// Until a moved leader is noticed the requests of a lane are split.
type routing struct {
	ids      []int
	lanes    []*lane
	byLeader map[int32]*lane // all there ever were; those without a leader share one, too
}

// NewProducer returns a producer to topic that holds at most inFlight messages. It does not wait for Kafka: until a
// broker tells how many partitions there are, messages wait for it within their deadlines.
func NewProducer(cfg Config, topic string, inFlight int) *Producer {
	bound := int64(max(inFlight, 1))
	transport := cfg.transport(topic)
	ctx, cancel := context.WithCancel(context.Background())
	p := &Producer{
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
	parts := &routing{ids: make([]int, len(partitions)), byLeader: map[int32]*lane{}}
	for i := range partitions {
		parts.ids[i] = i
	}
	p.parts.Store(p.regrouped(parts, partitions))
	return nil
}

// regrouped returns the routing to today's leaders. It is called by one at a time.
func (p *Producer) regrouped(parts *routing, partitions []kafka.Partition) *routing {
	next := &routing{ids: parts.ids, lanes: make([]*lane, len(parts.ids)), byLeader: maps.Clone(parts.byLeader)}
	for i := range next.lanes {
		leader := nobody
		if l := partitions[i].Leader; l.Host != "" {
			leader = int32(l.ID)
		}
		if next.byLeader[leader] == nil {
			next.byLeader[leader] = p.start(p.send)
		}
		next.lanes[i] = next.byLeader[leader]
	}
	return next
}

// regroup asks who leads now. The library keeps that fresh and answers from memory.
func (p *Producer) regroup(ctx context.Context) {
	if !p.learning.TryAcquire(1) {
		return // somebody is at it
	}
	defer p.learning.Release(1)
	parts := p.parts.Load()
	partitions, err := metadataOf(ctx, p.client, p.topic)
	if err == nil && len(partitions) >= len(parts.ids) {
		p.parts.Store(p.regrouped(parts, partitions))
	}
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
	errs, leaders, err := request.roundTrip(ctx, p.client)
	if err != nil {
		return slices.Clone(batch), fmt.Errorf("produce %d records to %s: %w", len(batch), p.topic, err)
	}
	for _, m := range batch {
		err, spoken := errs[m.partition]
		if spoken && err == nil {
			p.answer(m, nil)
			continue
		}
		left = append(left, m)
		if cause == nil {
			cause = fmt.Errorf("produce to %s/%d: %w", p.topic, m.partition, err)
		}
	}
	if leaders > 1 {
		p.regroup(ctx)
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
