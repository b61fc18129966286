package fence_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/outbox"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/pkg/testenv"
)

const limit = 3000

// stage is the three stores of one test, with a consumer at work.
type stage struct {
	t        *testing.T
	store    *mysqlstore.Store
	server   *testenv.RedisServer
	client   redis.UniversalClient
	stock    *redisstock.Stock
	producer *kafkastream.Producer
	fence    *fence.Fence
	campaign string
}

func newStage(t *testing.T) *stage {
	config := kafkastream.Config{Brokers: testenv.Kafka(t), ClientID: "test"}
	topic, group := testenv.Topic(t, 3), testenv.Group()
	s := &stage{t: t, server: testenv.PrivateRedis(t), campaign: testenv.Campaign()}
	var err error
	s.store, err = mysqlstore.Open(testenv.MySQL(t), mysqlstore.Options{})
	require.NoError(t, err)
	redisstock.LogTo(slog.New(slog.DiscardHandler))
	s.client, err = redisstock.NewClient(s.server.URL)
	require.NoError(t, err)
	s.stock = redisstock.New(s.client)
	s.producer = kafkastream.NewProducer(config, topic, 1000)
	admin := kafkastream.NewAdmin(config)
	s.fence = fence.NewFence(s.store, s.stock, kafkastream.NewGroup(admin, group, topic), outbox.New(s.stock, s.producer),
		fence.Options{Now: time.Now, Loaded: func(int) {}})
	ended := s.consume(config, group, topic)
	t.Cleanup(func() {
		ended()
		_ = s.producer.Close(context.Background())
		admin.Close()
		_ = s.client.Close()
		_ = s.store.Close()
	})
	require.NoError(t, s.store.CreateCampaign(t.Context(), coupon.Campaign{
		ID: s.campaign, Name: s.campaign, Limit: limit, PerUserLimit: 1,
		StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
	}))
	require.NoError(t, fence.New(s.store, s.stock).Open(t.Context(), s.campaign))
	return s
}

// consume issues what the log says, batch by batch, and returns what ends it.
func (s *stage) consume(config kafkastream.Config, group, topic string) func() {
	reader := kafkastream.NewReader(config, group, topic, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			records, deliveries := batch(ctx, reader)
			if len(deliveries) > 0 {
				_, _ = s.store.Issue(ctx, s.campaign, deliveries) // what it did not do is missing in the end
			}
			_ = reader.Commit(ctx, records)
		}
	}()
	return func() {
		cancel()
		_ = reader.Close()
		<-done
	}
}

// batch reads what comes within a moment.
func batch(ctx context.Context, reader *kafkastream.Reader) (records []kafkastream.Record, deliveries []coupon.Delivery) {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	for len(records) < 500 {
		record, err := reader.Fetch(ctx)
		if err != nil {
			break
		}
		records = append(records, record)
		if !event.IsBarrier(record.Headers) {
			claim, _ := event.Decode(record.Value)
			deliveries = append(deliveries, coupon.Delivery{Claim: claim, Payload: record.Value, Position: record.Position()})
		}
	}
	return records, deliveries
}

func (s *stage) read() coupon.Campaign {
	s.t.Helper()
	c, err := s.store.Campaign(s.t.Context(), s.campaign)
	require.NoError(s.t, err)
	return c
}

func (s *stage) keys(from, to int) (keys []coupon.Key) {
	for i := from; i < to; i++ {
		keys = append(keys, coupon.Key{Campaign: s.campaign, User: fmt.Sprintf("u-%d", i), N: 1})
	}
	return keys
}

// claim claims for users from…to-1 and returns what was granted.
func (s *stage) claim(epoch int64, from, to int) (granted []coupon.Claim) {
	s.t.Helper()
	for ; from < to; from += 500 {
		decisions, err := s.stock.Claim(s.t.Context(), s.campaign, epoch, s.keys(from, min(from+500, to)))
		require.NoError(s.t, err)
		for _, d := range decisions {
			if d.Verdict == coupon.Granted {
				granted = append(granted, d.Claim)
			}
		}
	}
	return granted
}

// publish does what the api-server does of a grant.
func (s *stage) publish(claims []coupon.Claim) {
	s.t.Helper()
	var keys []coupon.Key
	for i, err := range s.producer.PublishAll(s.t.Context(), claims) {
		require.NoError(s.t, err)
		keys = append(keys, claims[i].Key)
	}
	require.NoError(s.t, s.stock.Forget(s.t.Context(), s.campaign, claims[0].Epoch, keys))
}

// park keeps claims as failed events.
func (s *stage) park(claims []coupon.Claim) {
	s.t.Helper()
	events := make([]coupon.FailedEvent, len(claims))
	for i, c := range claims {
		events[i] = coupon.FailedEvent{
			EventKey: c.EventKey(), Campaign: c.Campaign, Epoch: c.Epoch, Claim: c, Payload: event.Encode(c),
			Reason: coupon.ReasonTransientExhausted, Status: coupon.FailurePending, NextAttemptAt: time.Now().Add(time.Hour),
		}
	}
	require.NoError(s.t, s.store.Park(s.t.Context(), events))
}

func (s *stage) health() coupon.HealthState {
	c := s.read()
	return s.stock.Look(s.t.Context(), []*coupon.Campaign{&c})[0].State
}

func (s *stage) rebuild() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	require.NoError(s.t, s.fence.Rebuild(ctx, []coupon.Campaign{s.read()}, coupon.ModeRedis))
}

// marks counts what Redis remembers of users from…to-1, by mark; 0 for nothing.
func (s *stage) marks(epoch int64, from, to int) map[coupon.Mark]int {
	s.t.Helper()
	counts := map[coupon.Mark]int{}
	held, err := s.stock.Held(s.t.Context(), s.campaign, epoch, s.keys(from, to))
	require.NoError(s.t, err)
	for _, d := range held {
		require.NotEqual(s.t, coupon.Broken, d.Verdict)
		counts[d.Mark]++
	}
	return counts
}

// requireExact says that the next epoch gives out exactly what is free, from its first serial on.
func (s *stage) requireExact(before coupon.Campaign, rows, carried int64) {
	s.t.Helper()
	c := s.read()
	require.Equal(s.t, coupon.Sound, s.health())
	require.Equal(s.t, before.Epoch+1, c.Epoch)
	require.Equal(s.t, rows, c.Issued)
	require.Equal(s.t, rows+carried, c.Base)
	require.Equal(s.t, before.Hi+carried+1, c.Lo)
	granted := s.claim(c.Epoch, 10_000, 10_000+limit)
	require.Len(s.t, granted, int(limit-rows-carried))
	require.Equal(s.t, c.Lo, granted[0].Serial)
	require.Equal(s.t, c.Hi, granted[len(granted)-1].Serial)
}

// A Redis that lost everything: what the log has becomes rows, what failed is carried, what was never confirmed is nobody's.
func TestRebuildOfALostRedis(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.read()
	claims := s.claim(before.Epoch, 0, 2000)
	require.Len(t, claims, 2000)
	s.publish(claims[:1400])
	s.park(claims[1400:1500])
	require.NoError(t, s.client.FlushAll(t.Context()).Err())
	require.Equal(t, coupon.Lost, s.health())

	s.rebuild()
	epoch := before.Epoch + 1
	require.Equal(t, map[coupon.Mark]int{coupon.MarkIssued: 1400}, s.marks(epoch, 0, 1400))
	require.Equal(t, map[coupon.Mark]int{coupon.MarkCarried: 100}, s.marks(epoch, 1400, 1500))
	require.Equal(t, map[coupon.Mark]int{0: 500}, s.marks(epoch, 1500, 2000))
	s.requireExact(before, 1400, 100)
}

// A Redis that answers: what it alone knows is published first, also what a sweeper has leased, so nobody loses a place.
func TestRebuildOfARedisThatAnswers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.read()
	claims := s.claim(before.Epoch, 0, 2000)
	s.publish(claims[:1000])
	leased, err := s.stock.TakePending(t.Context(), s.campaign, before.Epoch,
		coupon.Take{Limit: 300, Lease: time.Hour, Overdue: -time.Minute})
	require.NoError(t, err)
	require.Len(t, leased, 300)

	s.rebuild()
	require.Equal(t, map[coupon.Mark]int{coupon.MarkIssued: 2000}, s.marks(before.Epoch+1, 0, 2000))
	s.requireExact(before, 2000, 0)
	left, err := s.client.Keys(t.Context(), fmt.Sprintf("coupon:{%s}:%d:*", s.campaign, before.Epoch)).Result()
	require.NoError(t, err)
	require.Empty(t, left, "the old keys are gone")
}

// Redis killed in the middle of it: the loading stays, and is taken over under a new number.
func TestRebuildIntoModeSQLAndBackOnRealStores(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.read()
	claims := s.claim(before.Epoch, 0, 100)
	s.publish(claims)
	s.server.Kill()
	require.Equal(t, coupon.Unreachable, s.health())
	require.Error(t, s.fence.Rebuild(t.Context(), []coupon.Campaign{before}, coupon.ModeRedis))
	c := s.read()
	require.Equal(t, coupon.EpochLoading, c.EpochState)

	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(s.fence.Rebuild(t.Context(), []coupon.Campaign{c}, coupon.ModeSQL)),
		"it may still make progress")
	require.Eventually(t, func() bool {
		return s.fence.Rebuild(t.Context(), []coupon.Campaign{c}, coupon.ModeSQL) == nil
	}, 20*time.Second, 500*time.Millisecond)
	inSQL := s.read()
	require.Equal(t, coupon.ModeSQL, inSQL.Mode)
	require.Equal(t, coupon.EpochActive, inSQL.EpochState)
	require.Equal(t, inSQL.Lo, inSQL.NextSerial)

	s.server.Start()
	require.Eventually(t, func() bool { return s.health() != coupon.Unreachable }, 10*time.Second, 50*time.Millisecond)
	s.rebuild()
	c = s.read()
	require.Equal(t, coupon.ModeRedis, c.Mode)
	require.Equal(t, before.Epoch+3, c.Epoch)
	require.Equal(t, inSQL.Lo, c.Lo, "mode sql gave out nothing")
	require.Equal(t, coupon.Sound, s.health())
	require.Equal(t, map[coupon.Mark]int{coupon.MarkIssued: 100}, s.marks(c.Epoch, 0, 100))
}
