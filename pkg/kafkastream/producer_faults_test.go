package kafkastream

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/semaphore"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestRefusedConnectionIsNeverAnAck(t *testing.T) {
	t.Parallel()
	p := producer(t, Config{Brokers: []string{refusedAddress(t)}}, "any", room)
	begin := time.Now()
	ctx, cancel := within(time.Second)
	defer cancel()
	for _, err := range p.PublishAll(ctx, claimsOf(300)) {
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	}
	require.Less(t, time.Since(begin), 1500*time.Millisecond)
}

// answering is a cluster in which broker 0 leads the even partitions and broker 1 the odd ones. It gives every partition
// the answer it is told, or none, and remembers what was asked.
type answering struct {
	answers map[int32]produce.ResponsePartition
	deaf    int32 // a broker that never answers
	asked   []*produce.Request
}

func (a *answering) RoundTrip(_ context.Context, _ net.Addr, request kafka.Request) (kafka.Response, error) {
	switch r := request.(type) {
	case *produce.Request:
		return protocol.Result(a.answer(r))
	case *metadata.Request:
		return a.metadata(), nil
	}
	leaders := map[int32]protocol.Partition{}
	for i := range int32(4) {
		leaders[i] = protocol.Partition{ID: i, Leader: i % 2}
	}
	requests, merger, err := request.(protocol.Splitter).Split(protocol.Cluster{Topics: map[string]protocol.Topic{"any": {Partitions: leaders}}})
	if err != nil {
		return nil, err
	}
	results := make([]any, len(requests))
	for i, r := range requests {
		results[i] = a.answer(r.(*produce.Request))
	}
	return merger.Merge(requests, results)
}

func (a *answering) metadata() *metadata.Response {
	topic := metadata.ResponseTopic{Name: "any"}
	for i := range int32(4) {
		topic.Partitions = append(topic.Partitions, metadata.ResponsePartition{PartitionIndex: i, LeaderID: i % 2})
	}
	return &metadata.Response{
		Brokers: []metadata.ResponseBroker{{NodeID: 0, Host: "zero", Port: 1}, {NodeID: 1, Host: "one", Port: 1}},
		Topics:  []metadata.ResponseTopic{topic},
	}
}

func (a *answering) answer(r *produce.Request) any {
	a.asked = append(a.asked, r)
	response := &produce.Response{Topics: []produce.ResponseTopic{{Topic: "any"}}}
	for _, p := range r.Topics[0].Partitions {
		if p.Partition%2 == a.deaf {
			return context.DeadlineExceeded
		}
		if answer, ok := a.answers[p.Partition]; ok {
			answer.Partition = p.Partition
			response.Topics[0].Partitions = append(response.Topics[0].Partitions, answer)
		}
	}
	return response
}

// send sends one claim to each of four partitions and returns which were acknowledged, and why the last other was not.
func (a *answering) send(t *testing.T) (acked []int32, cause error) {
	t.Helper()
	p := &Producer{
		client: &kafka.Client{Addr: kafka.TCP("any:1"), Transport: a}, room: semaphore.NewWeighted(4), topic: "any",
		learning: semaphore.NewWeighted(1), quit: make(chan struct{}), ctx: t.Context(),
	}
	defer p.routines.Wait()
	defer close(p.quit)
	p.parts.Store(&routing{ids: []int{0, 1, 2, 3}, byLeader: map[int32]*lane{}}) // as if one broker had led them all
	require.True(t, p.room.TryAcquire(4))
	var batch []*message
	for _, partition := range []int32{3, 0, 2, 1} {
		m := newMessage(claimOf(1), time.Time{}, func(err error) {
			require.NoError(t, err)
			acked = append(acked, partition)
		})
		m.partition = partition
		batch = append(batch, m)
	}
	left, cause := p.send(t.Context(), batch)
	require.Len(t, left, len(batch)-len(acked), "a message is answered or left, and never both")
	lanes := p.parts.Load().lanes
	require.Same(t, lanes[0], lanes[2])
	require.Same(t, lanes[1], lanes[3])
	require.NotSame(t, lanes[0], lanes[1], "a request that had to be split regroups the lanes")
	slices.Sort(acked)
	return acked, cause
}

func TestOnlyACleanAnswerOfAllReplicasIsAnAck(t *testing.T) {
	t.Parallel()
	clean := produce.ResponsePartition{BaseOffset: 7}
	cases := []struct {
		name   string
		answer *produce.ResponsePartition // of partition 2
		deaf   int32
		acked  []int32
		want   error
	}{
		{"clean", &clean, nobody, []int32{0, 1, 2, 3}, nil},
		{"too few replicas", &produce.ResponsePartition{ErrorCode: 19}, nobody, []int32{0, 1, 3}, kafka.NotEnoughReplicas},
		{"too few replicas after the append", &produce.ResponsePartition{ErrorCode: 20}, nobody, []int32{0, 1, 3}, kafka.NotEnoughReplicasAfterAppend},
		{"record refused", &produce.ResponsePartition{RecordErrors: []produce.ResponseError{{BatchIndexErrorMessage: "odd"}}}, nobody, []int32{0, 1, 3}, errAny},
		{"not spoken of", nil, nobody, []int32{0, 1, 3}, errUnanswered},
		{"a leader that does not answer", &clean, 1, []int32{0, 2}, context.DeadlineExceeded},
	}
	for _, c := range cases {
		cluster := &answering{deaf: c.deaf, answers: map[int32]produce.ResponsePartition{0: clean, 1: clean, 3: clean}}
		if c.answer != nil {
			cluster.answers[2] = *c.answer
		}
		acked, err := cluster.send(t)
		require.Equal(t, c.acked, acked, c.name)
		require.Len(t, cluster.asked, 2, "one request a leader")
		for _, r := range cluster.asked {
			require.EqualValues(t, kafka.RequireAll, r.Acks, c.name)
			require.Len(t, r.Topics[0].Partitions, 2, c.name)
		}
		switch {
		case c.want == nil:
			require.NoError(t, err, c.name)
		case errors.Is(c.want, errAny):
			require.Error(t, err, c.name)
		default:
			require.ErrorIs(t, err, c.want, c.name)
		}
	}
}

var errAny = errors.New("any error")

func TestTopicMadeLaterIsFound(t *testing.T) {
	t.Parallel()
	a := admin(t)
	topic := testenv.Group()
	p := producer(t, realBroker(t), topic, room)
	begin := time.Now()
	require.ErrorIs(t, publish(p, claimOf(1), 500*time.Millisecond), kafka.UnknownTopicOrPartition)
	require.Less(t, time.Since(begin), time.Second)

	ctx, cancel := within(20 * time.Second)
	defer cancel()
	created, err := a.EnsureTopics(ctx, []TopicSpec{{Name: topic, Partitions: 2, Replication: 1}})
	require.NoError(t, err)
	require.Equal(t, []string{topic}, created)
	defer drop(a, topic)
	require.NoError(t, publish(p, claimOf(2), 10*time.Second))
}

func TestStalledConnection(t *testing.T) {
	t.Parallel()
	const patience = 700 * time.Millisecond
	topic := testenv.Topic(t, 3)
	through := newProxy(t)
	p := producer(t, through.config(), topic, room)
	require.NoError(t, publish(p, claimOf(0), 10*time.Second))

	for round := range 2 {
		through.stall()
		var wg sync.WaitGroup
		var answers, acks, late atomic.Int64
		for i := range 100 {
			wg.Go(func() {
				begin := time.Now()
				err := publish(p, claimOf(i), patience)
				answers.Add(1)
				if err == nil {
					acks.Add(1)
				}
				if time.Since(begin) > patience+300*time.Millisecond {
					late.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 100, answers.Load())
		require.Zero(t, acks.Load(), "round %d", round)
		require.Zero(t, late.Load(), "round %d", round)
		through.release()
		require.NoError(t, publish(p, claimOf(1000+round), 10*time.Second), "round %d", round)
	}
}

func TestCutConnectionsLoseNothing(t *testing.T) {
	t.Parallel()
	const n = 3000
	topic := testenv.Topic(t, 3)
	through := newProxy(t)
	p := producer(t, through.config(), topic, n)
	ctx, stop := context.WithCancel(context.Background())
	var cutter sync.WaitGroup
	cutter.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 20 {
			select {
			case <-tick.C:
				through.cut()
			case <-ctx.Done():
				return
			}
		}
	})
	acked := make(chan int, n)
	var wg sync.WaitGroup
	for caller := range 30 {
		wg.Go(func() {
			for i := caller; i < n; i += 30 {
				if publish(p, claimOf(i), 20*time.Second) == nil {
					acked <- i
				}
			}
		})
	}
	wg.Wait()
	stop()
	cutter.Wait()
	require.Len(t, acked, n, "every claim must be acknowledged within 20 s")

	seen := map[string]bool{}
	r := reader(t, realBroker(t), testenv.Group(), topic)
	for len(seen) < n {
		seen[decode(t, fetch(t, r, 1)[0]).User] = true
	}
}

func TestInFlightIsBounded(t *testing.T) {
	t.Parallel()
	const bound = 10
	topic := testenv.Topic(t, 1)
	through := newProxy(t)
	p := producer(t, through.config(), topic, bound)
	require.NoError(t, publish(p, claimOf(0), 10*time.Second))
	through.stall()

	answers := make(chan error, 2*bound)
	deadline := time.Now().Add(500 * time.Millisecond)
	for i := range 2 * bound {
		p.Publish(claimOf(i), deadline, func(err error) { answers <- err })
	}
	require.Len(t, answers, bound, "those without room must be answered at once")
	for range bound {
		err := <-answers
		require.ErrorIs(t, err, ErrFull)
		require.Equal(t, coupon.CodeOverloaded, coupon.CodeOf(err))
	}
	for range bound {
		err := <-answers
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrFull)
	}
	through.release()
	require.NoError(t, publish(p, claimOf(1), 10*time.Second))
}

func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	topic := testenv.Topic(t, 3)
	through := newProxy(t)
	warm := NewProducer(through.config(), topic, room)
	require.NoError(t, publish(warm, claimOf(1), 10*time.Second))
	through.stall()
	cases := map[string]*Producer{
		"refused": NewProducer(Config{Brokers: []string{refusedAddress(t)}}, topic, room),
		"stalled": warm,
	}
	for name, p := range cases {
		t.Run(name, func(t *testing.T) {
			var failures atomic.Int64
			for i := range 500 {
				p.Publish(claimOf(i), time.Now().Add(time.Hour), func(err error) {
					if coupon.CodeOf(err) == coupon.CodeUnavailable {
						failures.Add(1)
					}
				})
			}
			ctx, cancel := within(300 * time.Millisecond)
			defer cancel()
			begin := time.Now()
			require.ErrorIs(t, p.Close(ctx), context.DeadlineExceeded)
			require.Less(t, time.Since(begin), 1500*time.Millisecond)
			require.EqualValues(t, 500, failures.Load(), "every message must be answered before Close returns")
		})
	}
}

func TestPublishRacesWithClose(t *testing.T) {
	t.Parallel()
	topic := testenv.Topic(t, 2)
	for range 5 {
		p := NewProducer(realBroker(t), topic, 50)
		require.NoError(t, publish(p, claimOf(0), 10*time.Second))
		var asked, answered atomic.Int64
		var wg sync.WaitGroup
		for caller := range 8 {
			wg.Go(func() {
				for i := range 200 {
					asked.Add(1)
					p.Publish(claimOf(caller*1000+i), time.Now().Add(5*time.Second), func(error) { answered.Add(1) })
				}
			})
		}
		ctx, cancel := within(5 * time.Second)
		require.NoError(t, p.Close(ctx))
		cancel()
		wg.Wait()
		require.Equal(t, asked.Load(), answered.Load(), "every call of Publish has one answer")
	}
}
