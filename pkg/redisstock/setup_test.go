package redisstock

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// bundle is a stock and a way to look, and to do damage, behind its back.
type bundle struct {
	*Stock
	client redis.UniversalClient
}

func connect(tb testing.TB, url string) bundle {
	tb.Helper()
	client, err := NewClient(url)
	require.NoError(tb, err)
	return bundleOf(tb, client)
}

// connectPatiently waits longer for a connection and a reply than a program would: the embedded server is slow.
func connectPatiently(tb testing.TB, url string) bundle {
	tb.Helper()
	options, err := parse(url)
	require.NoError(tb, err)
	options = tuned(options)
	options.PoolTimeout, options.ReadTimeout = time.Minute, time.Minute
	return bundleOf(tb, redis.NewUniversalClient(options))
}

func bundleOf(tb testing.TB, client redis.UniversalClient) bundle {
	tb.Helper()
	tb.Cleanup(func() { _ = client.Close() })
	return bundle{Stock: New(client), client: client}
}

// onEveryRedis runs the test on the real server and on the embedded one, which must be told apart by nobody.
func onEveryRedis(t *testing.T, test func(t *testing.T, b bundle)) {
	t.Helper()
	t.Parallel()
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, connectPatiently(t, testenv.Redis(t)))
	})
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		test(t, connectPatiently(t, "redis://"+miniredis.RunT(t).Addr()))
	})
}

// newDocument is an open campaign of its own with limit places.
func newDocument(limit int64) coupon.Document {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return coupon.Document{
		Campaign: testenv.Campaign(), Version: 1, State: coupon.DocumentOpen,
		Epoch: 1, Lo: 1, Hi: limit, PerUserLimit: 1,
		OpensAt: now.Add(-time.Hour), ClosesAt: now.Add(time.Hour),
	}
}

// start opens an epoch that starts empty, and takes its keys away after the test.
func (b bundle) start(tb testing.TB, doc coupon.Document) coupon.Document {
	tb.Helper()
	tb.Cleanup(func() { b.client.Unlink(context.Background(), allKeys(doc)...) })
	require.NoError(tb, b.Prepare(tb.Context(), doc))
	require.NoError(tb, b.Open(tb.Context(), doc))
	return doc
}

func (b bundle) claimAll(tb testing.TB, doc coupon.Document, keys ...coupon.Key) []coupon.Decision {
	tb.Helper()
	decisions, err := b.Claim(tb.Context(), doc.Campaign, doc.Epoch, keys)
	require.NoError(tb, err)
	require.Len(tb, decisions, len(keys))
	return decisions
}

func (b bundle) claimOne(tb testing.TB, doc coupon.Document, user string) coupon.Decision {
	tb.Helper()
	return b.claimAll(tb, doc, keyFor(user))[0]
}

func keyFor(user string) coupon.Key { return coupon.Key{User: user, N: 1} }

func crowd(prefix string, size int) []coupon.Key {
	keys := make([]coupon.Key, size)
	for i := range keys {
		keys[i] = keyFor(fmt.Sprintf("%s%d", prefix, i))
	}
	return keys
}

func allKeys(doc coupon.Document) []string {
	k := keysOf(doc.Campaign, doc.Epoch)
	return []string{k.meta, k.users, k.count, k.serials, k.pending}
}

// state is all that Redis holds of a campaign's epoch, for saying that nothing changed.
func (b bundle) state(tb testing.TB, doc coupon.Document) map[string]any {
	tb.Helper()
	ctx, state := tb.Context(), map[string]any{}
	for _, key := range allKeys(doc) {
		var value any
		var err error
		switch kind := b.client.Type(ctx, key).Val(); kind {
		case "hash":
			value, err = b.client.HGetAll(ctx, key).Result()
		case "set":
			value, err = b.client.SMembersMap(ctx, key).Result()
		case "zset":
			value, err = b.client.ZRangeWithScores(ctx, key, 0, -1).Result()
		case "string":
			value, err = b.client.Get(ctx, key).Result()
		case "list":
			value, err = b.client.LRange(ctx, key, 0, -1).Result()
		default:
			value = kind
		}
		require.NoError(tb, err)
		state[key] = value
	}
	return state
}

// await polls until the condition holds, as a promise has a bound and no fixed moment.
func await(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		require.True(tb, time.Now().Before(deadline), "never happened: %s", what)
		<-time.After(2 * time.Millisecond)
	}
}

// recorded is the campaign as MySQL has it when the document was made of it.
func recorded(doc coupon.Document) *coupon.Campaign {
	return &coupon.Campaign{
		ID: doc.Campaign, Epoch: doc.Epoch, EpochState: coupon.EpochActive,
		Lo: doc.Lo, Base: doc.Base, Hi: doc.Hi, HiWanted: doc.Hi, Seal: doc.Seal,
	}
}

// replicate makes b's server a replica of master and waits until it is in step.
func replicate(tb testing.TB, b bundle, master *testenv.RedisServer) {
	tb.Helper()
	u, err := url.Parse(master.URL)
	require.NoError(tb, err)
	require.NoError(tb, b.client.Do(tb.Context(), "REPLICAOF", u.Hostname(), u.Port()).Err())
	await(tb, "the replica is in step", func() bool {
		replication, err := info(tb.Context(), b.client, "replication")
		return err == nil && replication["master_link_status"] == "up"
	})
}
