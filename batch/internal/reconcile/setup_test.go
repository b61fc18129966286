package reconcile

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// bundle is one open campaign on real stores, and a way to do damage behind their backs.
type bundle struct {
	tb       testing.TB
	store    *mysqlstore.Store
	client   redis.UniversalClient
	stock    *redisstock.Stock
	kafka    kafkastream.Config
	topic    string
	group    string
	campaign string
}

func setup(t *testing.T, limit int64) *bundle {
	t.Helper()
	return setupOn(t, testenv.Topic(t, 2), limit)
}

// setupOn is setup on a topic that others use too: its test publishes nothing.
func setupOn(t *testing.T, topic string, limit int64) *bundle {
	t.Helper()
	store, err := mysqlstore.Open(testenv.MySQL(t), mysqlstore.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	client, err := redisstock.NewClient(testenv.Redis(t))
	require.NoError(t, err)
	b := &bundle{
		tb: t, store: store, client: client, stock: redisstock.New(client),
		kafka: kafkastream.Config{Brokers: testenv.Kafka(t)}, topic: topic, group: testenv.Group(),
		campaign: testenv.Campaign(),
	}
	t.Cleanup(func() {
		client.Unlink(context.Background(), b.key("meta"))
		_ = b.stock.Discard(context.Background(), b.campaign, 6) // of every epoch a test reaches
		_ = client.Close()
	})
	require.Eventually(t, func() bool { // a new partition's leader does not serve it at once
		_, err := b.admin().Lag(t.Context(), b.group, b.topic)
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, store.CreateCampaign(t.Context(), coupon.Campaign{
		ID: b.campaign, Name: b.campaign, Limit: limit, PerUserLimit: 1,
		StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
	}))
	require.NoError(t, fence.New(store, b.stock).Open(t.Context(), b.campaign))
	return b
}

func (b *bundle) key(name string) string { return fmt.Sprintf("coupon:{%s}:%s", b.campaign, name) }

// claim grants places to the users from the given one on.
func (b *bundle) claim(from, size int) []coupon.Claim {
	b.tb.Helper()
	keys := make([]coupon.Key, size)
	for i := range keys {
		keys[i] = coupon.Key{Campaign: b.campaign, User: fmt.Sprintf("u%d", from+i), N: 1}
	}
	decisions, err := b.stock.Claim(context.Background(), b.campaign, 1, keys)
	require.NoError(b.tb, err)
	claims := make([]coupon.Claim, size)
	for i, d := range decisions {
		require.Equal(b.tb, coupon.Granted, d.Verdict)
		claims[i] = d.Claim
	}
	return claims
}

// issue makes rows of claims.
func (b *bundle) issue(claims []coupon.Claim) {
	b.tb.Helper()
	deliveries := make([]coupon.Delivery, len(claims))
	for i, c := range claims {
		deliveries[i] = coupon.Delivery{Claim: c, Payload: []byte(c.EventKey())}
	}
	results, err := b.store.Issue(context.Background(), b.campaign, deliveries)
	require.NoError(b.tb, err)
	for _, r := range results {
		require.Equal(b.tb, coupon.OutcomeIssued, r.Outcome)
	}
}

// forget says that the log has the claims.
func (b *bundle) forget(claims []coupon.Claim) {
	b.tb.Helper()
	keys := make([]coupon.Key, len(claims))
	for i, c := range claims {
		keys[i] = c.Key
	}
	require.NoError(b.tb, b.stock.Forget(context.Background(), b.campaign, 1, keys))
}

// publish puts claims into the log.
func (b *bundle) publish(claims []coupon.Claim) {
	b.tb.Helper()
	producer := kafkastream.NewProducer(b.kafka, b.topic, 100)
	for _, err := range producer.PublishAll(b.tb.Context(), claims) {
		require.NoError(b.tb, err)
	}
	require.NoError(b.tb, producer.Close(b.tb.Context()))
}

// park keeps a claim as a failed event that holds its place.
func (b *bundle) park(claim coupon.Claim) {
	b.tb.Helper()
	require.NoError(b.tb, b.store.Park(b.tb.Context(), []coupon.FailedEvent{{
		Campaign: b.campaign, Epoch: 1, Claim: claim, Payload: []byte("{}"), Reason: coupon.ReasonTransientExhausted,
	}}))
}

// sold issues places to users in full.
func (b *bundle) sold(from, size int) {
	b.tb.Helper()
	claims := b.claim(from, size)
	b.issue(claims)
	b.forget(claims)
}

func (b *bundle) exec(statement string, args ...any) {
	b.tb.Helper()
	_, err := b.store.DB().ExecContext(b.tb.Context(), statement, args...)
	require.NoError(b.tb, err)
}

func (b *bundle) admin() *kafkastream.Admin {
	admin := kafkastream.NewAdmin(b.kafka)
	b.tb.Cleanup(admin.Close)
	return admin
}

func (b *bundle) job(wait time.Duration) *Job {
	return New(b.store, b.stock, b.admin(), Options{
		Group: b.group, Topic: b.topic, Wait: wait, Now: time.Now, Progress: func(int, int) {},
	})
}

func (b *bundle) run(wait time.Duration) Result {
	b.tb.Helper()
	result, err := b.job(wait).RunOnce(b.tb.Context())
	require.NoError(b.tb, err)
	return result
}

func codes(differences []Difference) []string {
	all := make([]string, len(differences))
	for i, d := range differences {
		all[i] = d.Code
	}
	return all
}
