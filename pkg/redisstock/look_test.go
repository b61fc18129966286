package redisstock

import (
	"context"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func (b bundle) look(tb testing.TB, doc coupon.Document) coupon.Health {
	tb.Helper()
	found := b.Look(tb.Context(), []*coupon.Campaign{recorded(doc)})
	require.Len(tb, found, 1)
	require.Equal(tb, found[0].State == coupon.Sound, found[0].Why == "", "words of all but Sound: %+v", found[0])
	return found[0]
}

// requireNoGrant requires that nobody new gets a place, whatever batch they come in.
func (b bundle) requireNoGrant(tb testing.TB, doc coupon.Document) {
	tb.Helper()
	for _, keys := range [][]coupon.Key{{keyFor("new")}, {keyFor("new"), keyFor("holder"), keyFor("newer")}} {
		decisions, err := b.Claim(tb.Context(), doc.Campaign, doc.Epoch, keys)
		require.NoError(tb, err)
		for _, decision := range decisions {
			require.NotEqual(tb, coupon.Granted, decision.Verdict)
		}
	}
}

func TestLookFindsEveryDamage(t *testing.T) {
	type damage func(ctx context.Context, c redis.UniversalClient, k epochKeys) error
	del := func(key func(epochKeys) string) damage {
		return func(ctx context.Context, c redis.UniversalClient, k epochKeys) error { return c.Del(ctx, key(k)).Err() }
	}
	retype := func(key func(epochKeys) string) damage {
		return func(ctx context.Context, c redis.UniversalClient, k epochKeys) error { return relist(ctx, c, key(k)) }
	}
	hset := func(field string, value any) damage {
		return func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.HSet(ctx, k.meta, field, value).Err()
		}
	}
	hdel := func(field string) damage {
		return func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.HDel(ctx, k.meta, field).Err()
		}
	}
	meta := func(k epochKeys) string { return k.meta }
	users := func(k epochKeys) string { return k.users }
	count := func(k epochKeys) string { return k.count }
	serials := func(k epochKeys) string { return k.serials }
	pending := func(k epochKeys) string { return k.pending }
	cases := map[string]damage{
		"meta deleted": del(meta), "users deleted": del(users), "count deleted": del(count), "serials deleted": del(serials),
		"meta a list": retype(meta), "users a list": retype(users), "count a list": retype(count),
		"serials a list": retype(serials), "pending a list": retype(pending),
		"fenced": hset("state", "fenced"), "a state nobody knows": hset("state", "ajar"),
		"an older document": hset("epoch", 1), "a later document": hset("epoch", 3), "an epoch that is none": hset("epoch", "two"),
		"no epoch": hdel("epoch"), "no state": hdel("state"), "no hi": hdel("hi"), "no version": hdel("version"),
		"no seal": hdel("seal"), "no window": hdel("closes"), "another base": hset("base", 2), "another lo": hset("lo", 100),
		"count too high": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Incr(ctx, k.count).Err()
		},
		"count too low": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Decr(ctx, k.count).Err()
		},
		"a stray member": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.SAdd(ctx, k.users, "stray").Err()
		},
		"a serial lost": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.HDel(ctx, k.serials, "holder").Err()
		},
		"all deleted": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Del(ctx, k.meta, k.users, k.count, k.serials, k.pending).Err()
		},
	}
	harmless := map[string]damage{
		"nothing":         func(context.Context, redis.UniversalClient, epochKeys) error { return nil },
		"pending deleted": del(pending), // what is lost is published by a repeat, whose mark is p
		"paused":          hset("state", "paused"), "closed": hset("state", "closed"),
		"another window": hset("closes", 5),
	}
	onEveryRedis(t, func(t *testing.T, b bundle) {
		check := func(name string, damage damage, want coupon.HealthState) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				doc := newDocument(10)
				doc.Epoch, doc.Lo, doc.Base = 2, 4, 3
				doc = b.startLoaded(t, doc)
				b.claimAll(t, doc, keyFor("holder"), keyFor("other"))
				require.Equal(t, coupon.Sound, b.look(t, doc).State)
				require.NoError(t, damage(t.Context(), b.client, keysOf(doc.Campaign, doc.Epoch)))
				before := b.state(t, doc)
				require.Equal(t, want, b.look(t, doc).State)
				require.Equal(t, before, b.state(t, doc), "a look changes nothing")
				if want != coupon.Lost || name == "no version" || name == "another lo" || name == "another base" {
					return
				}
				b.requireNoGrant(t, doc)
			})
		}
		for name, damage := range cases {
			check(name, damage, coupon.Lost)
		}
		for name, damage := range harmless {
			check(name, damage, coupon.Sound)
		}
	})
}

// startLoaded opens an epoch whose base is made of rows.
func (b bundle) startLoaded(tb testing.TB, doc coupon.Document) coupon.Document {
	tb.Helper()
	tb.Cleanup(func() { b.client.Unlink(context.Background(), allKeys(doc)...) })
	require.NoError(tb, b.Prepare(tb.Context(), doc))
	require.NoError(tb, b.Load(tb.Context(), refOf(doc), rows("row", 1, int(doc.Base)), coupon.MarkIssued))
	require.NoError(tb, b.Open(tb.Context(), doc))
	return doc
}

func TestLookTellsUnopenedFromLost(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(10)
		doc.Epoch, doc.Lo, doc.Base = 2, 4, 3
		require.Equal(t, coupon.Lost, b.look(t, doc).State, "nothing there")
		first := doc
		first.Epoch, first.Lo, first.Base = 1, 1, 0
		b.start(t, first)
		b.claimAll(t, first, crowd("row", 3)...)
		require.Equal(t, coupon.Lost, b.look(t, doc).State, "the document of the epoch before, and no keys")
		require.NoError(t, b.Prepare(t.Context(), doc))
		require.Equal(t, coupon.Lost, b.look(t, doc).State, "not loaded")
		require.NoError(t, b.Load(t.Context(), refOf(doc), rows("row", 1, 3), coupon.MarkIssued))
		require.Equal(t, coupon.Unopened, b.look(t, doc).State)
		require.Equal(t, coupon.Sound, b.look(t, first).State)

		require.NoError(t, b.Open(t.Context(), doc))
		require.Equal(t, coupon.Sound, b.look(t, doc).State)
		require.Equal(t, coupon.Lost, b.look(t, first).State, "a later epoch is open")
		require.Equal(t, coupon.Granted, b.claimOne(t, doc, "new").Verdict)
		require.NoError(t, b.client.Del(t.Context(), metaKey(doc.Campaign)).Err())
		require.Equal(t, coupon.Lost, b.look(t, doc).State, "the keys hold grants")
	})
}

// Order is kept over pages, and one campaign's damage is no other's.
func TestLookAnswersInOrder(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.PrivateRedis(t).URL)
	const campaigns = 2*lookPage + 7
	asked := make([]*coupon.Campaign, campaigns)
	want := make([]coupon.HealthState, campaigns)
	for i := range asked {
		doc := newDocument(10)
		doc.Campaign = "c" + strconv.Itoa(i)
		asked[i], want[i] = recorded(doc), coupon.Lost
		if i%3 > 0 {
			require.NoError(t, b.Prepare(t.Context(), doc))
			want[i] = coupon.Unopened
		}
		if i%3 > 1 {
			require.NoError(t, b.Open(t.Context(), doc))
			want[i] = coupon.Sound
		}
	}
	require.NoError(t, b.client.ScriptFlush(t.Context()).Err())
	found := make([]coupon.HealthState, campaigns)
	for i, health := range b.Look(t.Context(), asked) {
		found[i] = health.State
	}
	require.Equal(t, want, found)
	require.Empty(t, b.Look(t.Context(), nil))
}
