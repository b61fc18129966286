package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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

const partitions = 3

type bundle struct {
	tb     testing.TB
	store  *mysqlstore.Store
	client redis.UniversalClient
	stock  *redisstock.Stock
	kafka  kafkastream.Config
	topic  string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	store, err := mysqlstore.Open(testenv.MySQL(t), mysqlstore.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	client, err := redisstock.NewClient(testenv.Redis(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return &bundle{
		tb: t, store: store, client: client, stock: redisstock.New(client),
		kafka: kafkastream.Config{Brokers: testenv.Kafka(t)}, topic: testenv.Topic(t, partitions),
	}
}

func (b *bundle) job(olderThan time.Duration) *Job { return b.jobAt(b.kafka, olderThan) }

func (b *bundle) jobAt(kafka kafkastream.Config, olderThan time.Duration) *Job {
	producer := kafkastream.NewProducer(kafka, b.topic, 500)
	b.tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = producer.Close(ctx)
	})
	return New(b.store, outbox.New(b.stock, producer), Options{
		OlderThan: olderThan, Progress: func(int, int) {}, Logger: slog.New(slog.DiscardHandler),
	})
}

func key(campaign, name string) string { return fmt.Sprintf("coupon:{%s}:%s", campaign, name) }

// open opens a campaign with pending claims.
func (b *bundle) open(pending int) (campaign string) {
	b.tb.Helper()
	ctx := b.tb.Context()
	campaign = testenv.Campaign()
	b.tb.Cleanup(func() {
		b.client.Unlink(context.Background(), key(campaign, "meta"), key(campaign, "1:users"), key(campaign, "1:count"),
			key(campaign, "1:serials"), key(campaign, "1:pending"))
	})
	require.NoError(b.tb, b.store.CreateCampaign(ctx, coupon.Campaign{
		ID: campaign, Name: campaign, Limit: int64(pending), PerUserLimit: 1,
		StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
	}))
	require.NoError(b.tb, fence.New(b.store, b.stock).Open(ctx, campaign))
	keys := make([]coupon.Key, pending)
	for i := range keys {
		keys[i] = coupon.Key{Campaign: campaign, User: fmt.Sprintf("u%d", i), N: 1}
	}
	for len(keys) > 0 {
		batch := keys[:min(128, len(keys))]
		keys = keys[len(batch):]
		decisions, err := b.stock.Claim(ctx, campaign, 1, batch)
		require.NoError(b.tb, err)
		for _, d := range decisions {
			require.Equal(b.tb, coupon.Granted, d.Verdict)
		}
	}
	return campaign
}

// age makes the pending claims look as if they had been due for a minute.
func (b *bundle) age(campaign string) {
	b.tb.Helper()
	ctx := b.tb.Context()
	members, err := b.client.ZRange(ctx, key(campaign, "1:pending"), 0, -1).Result()
	require.NoError(b.tb, err)
	aged := make([]redis.Z, len(members))
	for i, member := range members {
		aged[i] = redis.Z{Score: float64(time.Now().Add(-time.Minute).UnixMilli()), Member: member}
	}
	require.NoError(b.tb, b.client.ZAdd(ctx, key(campaign, "1:pending"), aged...).Err())
}

func (b *bundle) pending(campaign string) int64 {
	b.tb.Helper()
	snapshot, err := b.stock.Snapshot(b.tb.Context(), campaign, 1)
	require.NoError(b.tb, err)
	return snapshot.Pending
}

// published reads the whole topic and counts the records of each claim.
func (b *bundle) published() map[coupon.Key]int {
	b.tb.Helper()
	admin := kafkastream.NewAdmin(b.kafka)
	defer admin.Close()
	group := testenv.Group()
	lags, err := admin.Lag(b.tb.Context(), group, b.topic) // every partition has taken a record by now
	require.NoError(b.tb, err)
	reader := kafkastream.NewReader(b.kafka, group, b.topic, slog.New(slog.DiscardHandler))
	defer func() { _ = reader.Close() }()
	found := map[coupon.Key]int{}
	for range kafkastream.TotalLag(lags) {
		record, err := reader.Fetch(b.tb.Context())
		require.NoError(b.tb, err)
		claim, err := event.Decode(record.Value)
		require.NoError(b.tb, err)
		found[claim.Key]++
	}
	return found
}

func TestEveryPendingClaimIsPublished(t *testing.T) {
	t.Parallel()
	const first, second = 700, 40 // more than a page, less than a page
	b := setup(t)
	one, two := b.open(first), b.open(second)
	require.NoError(t, b.store.CreateCampaign(t.Context(), coupon.Campaign{
		ID: testenv.Campaign(), Name: "draft", Limit: 1, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour),
	}))
	b.age(one)
	b.age(two)

	job := b.job(5 * time.Second)
	var seen [][2]int
	job.Progress = func(done, total int) { seen = append(seen, [2]int{done, total}) }

	result, err := job.RunOnce(t.Context())

	require.NoError(t, err)
	require.Equal(t, [][2]int{{1, 2}, {2, 2}}, seen)
	require.Equal(t, Result{Campaigns: 2, Taken: first + second, Published: first + second}, result)
	require.True(t, result.OK())
	require.Zero(t, b.pending(one)+b.pending(two))
	published := b.published()
	require.Len(t, published, first+second)
	for i := range first {
		require.Equal(t, 1, published[coupon.Key{Campaign: one, User: fmt.Sprintf("u%d", i), N: 1}])
	}
}

func TestYoungClaimsAreLeftToTheServers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	campaign := b.open(3)

	result, err := b.job(5 * time.Second).RunOnce(t.Context())

	require.NoError(t, err)
	require.Equal(t, Result{Campaigns: 1}, result)
	require.EqualValues(t, 3, b.pending(campaign))
	// The shortest age that is allowed is the age at which the claim script lets a sweep have them.
	job := b.job(FirstDue)
	require.Eventually(t, func() bool {
		result, err = job.RunOnce(t.Context())
		return err == nil && result.Published == 3
	}, 10*time.Second, 50*time.Millisecond)
	require.Zero(t, b.pending(campaign))
}

func TestOverlappingSweepsShareTheClaims(t *testing.T) {
	t.Parallel()
	const size = 2000
	b := setup(t)
	campaign := b.open(size)
	b.age(campaign)

	var results [2]Result
	var errs [2]error
	var both sync.WaitGroup
	for i := range results {
		job := b.job(5 * time.Second)
		both.Go(func() { results[i], errs[i] = job.RunOnce(t.Context()) })
	}
	both.Wait()

	require.NoError(t, errors.Join(errs[:]...))
	require.Equal(t, size, results[0].Taken+results[1].Taken, "a lease has one holder")
	require.Equal(t, size, results[0].Published+results[1].Published)
	require.Zero(t, b.pending(campaign))
	published := b.published()
	require.Len(t, published, size)
	for claim, records := range published {
		require.Equal(t, 1, records, claim)
	}
}

func TestWithoutALogNothingIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	campaign := b.open(3)
	b.age(campaign)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()

	result, err := b.jobAt(kafkastream.Config{Brokers: []string{"127.0.0.1:1"}}, 5*time.Second).RunOnce(ctx)

	require.NoError(t, err)
	require.Equal(t, Result{Campaigns: 1, Taken: 3, Failed: 1}, result)
	require.False(t, result.OK())
	require.EqualValues(t, 3, b.pending(campaign), "they are due again when the lease is over")
}

func TestABrokenCampaignDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	broken, whole := b.open(2), b.open(2)
	b.age(whole)
	require.NoError(t, b.client.Set(t.Context(), key(broken, "1:pending"), "not a list", 0).Err())

	result, err := b.job(5 * time.Second).RunOnce(t.Context())

	require.NoError(t, err)
	require.Equal(t, Result{Campaigns: 2, Taken: 2, Published: 2, Failed: 1}, result)
	require.Zero(t, b.pending(whole))
}
