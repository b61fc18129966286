package redisstock

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestLevels(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		busy := b.start(t, newDocument(10))
		b.claimAll(t, busy, crowd("u", 3)...)
		b.age(t, busy, "u1", time.Minute)
		require.NoError(t, b.Forget(t.Context(), busy.Campaign, busy.Epoch, crowd("u", 1)))
		idle := b.start(t, newDocument(10))
		odd := newDocument(10)
		odd.Lo, odd.Hi = 21, 30
		b.start(t, odd)
		torn := b.start(t, newDocument(10))
		require.NoError(t, relist(t.Context(), b.client, keysOf(torn.Campaign, 1).count))

		levels, err := b.Levels(t.Context(), []*coupon.Campaign{
			{ID: busy.Campaign, Epoch: 1},
			{ID: idle.Campaign, Epoch: 1},
			{ID: idle.Campaign, Epoch: 2},
			{ID: odd.Campaign, Epoch: 1},
			{ID: torn.Campaign, Epoch: 1},
		})
		require.NoError(t, err)
		require.WithinRange(t, levels[0].OldestDue, time.Now().Add(-2*time.Minute), time.Now().Add(-30*time.Second))
		levels[0].OldestDue = time.Time{}
		require.Equal(t, []coupon.Level{
			{Last: 3, Pending: 2, Epoch: 1, Version: 1, Known: true},
			{Epoch: 1, Version: 1, Known: true},
			{Epoch: 1, Version: 1},
			{Last: 20, Epoch: 1, Version: 1, Known: true},
			{Epoch: 1, Version: 1},
		}, levels)

		none, err := b.Levels(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

// One campaign that cannot be asked, as when one shard of a cluster is away, hides no other.
func TestLevelsAnswersTheOthers(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.PrivateRedis(t).URL)
	first, second, third := b.start(t, newDocument(10)), b.start(t, newDocument(10)), b.start(t, newDocument(10))
	b.claimOne(t, third, "kim")
	require.NoError(t, b.client.Do(t.Context(), "ACL", "SETUSER", "default", "resetkeys",
		"~coupon:{"+first.Campaign+"}:*", "~coupon:{"+third.Campaign+"}:*").Err())

	levels, err := b.Levels(t.Context(), []*coupon.Campaign{
		{ID: first.Campaign, Epoch: 1}, {ID: second.Campaign, Epoch: 1}, {ID: third.Campaign, Epoch: 1},
	})

	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.ErrorContains(t, err, second.Campaign)
	require.NotContains(t, err.Error(), first.Campaign)
	require.True(t, levels[2].Known)
	require.EqualValues(t, 1, levels[2].Last)
	require.Equal(t, []coupon.Level{{Epoch: 1, Version: 1, Known: true}, {}}, levels[:2])
}

func TestHeldReadsAndChangesNothing(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(10))
		granted := b.claimAll(t, doc, crowd("u", 2)...)
		require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, crowd("u", 1)))
		before, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)

		held, err := b.Held(t.Context(), doc.Campaign, doc.Epoch, crowd("u", 3))
		require.NoError(t, err)
		require.Equal(t, coupon.Decision{Verdict: coupon.Held, Claim: granted[0].Claim, Mark: coupon.MarkAcked}, held[0])
		require.Equal(t, coupon.Decision{Verdict: coupon.Held, Claim: granted[1].Claim, Mark: coupon.MarkReserved}, held[1])
		require.Equal(t, coupon.Decision{}, held[2])

		after, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, before, after)
	})
}

// Lost claim state must not read as "no such claim".
func TestHeldTellsLostStateFromNoClaim(t *testing.T) {
	type damage func(ctx context.Context, c redis.UniversalClient, k epochKeys) error
	cases := map[string]damage{
		"everything lost": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Del(ctx, k.meta, k.users, k.count, k.serials, k.pending).Err()
		},
		"count lost": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Del(ctx, k.count).Err()
		},
		"serials lost": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Del(ctx, k.serials).Err()
		},
		"users and serials lost": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Del(ctx, k.users, k.serials).Err()
		},
		"meta of another epoch": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.HSet(ctx, k.meta, "epoch", 9).Err()
		},
		"count no number": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Set(ctx, k.count, "one", 0).Err()
		},
		"count a list": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return relist(ctx, c, k.count)
		},
		"serials a list": func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return relist(ctx, c, k.serials)
		},
	}
	onEveryRedis(t, func(t *testing.T, b bundle) {
		for name, damage := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				doc := b.start(t, newDocument(5))
				require.Equal(t, coupon.Granted, b.claimOne(t, doc, "holder").Verdict)
				require.NoError(t, damage(t.Context(), b.client, keysOf(doc.Campaign, doc.Epoch)))
				held, err := b.Held(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("holder"), keyFor("nobody")})
				require.NoError(t, err)
				require.Equal(t, []coupon.Decision{{Verdict: coupon.Broken}, {Verdict: coupon.Broken}}, held)
			})
		}
	})
}

func TestSnapshotOfWhatIsNotThere(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(10)
		snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, Snapshot{Count: -1}, snapshot)

		b.start(t, doc)
		require.NoError(t, relist(t.Context(), b.client, keysOf(doc.Campaign, 1).users))
		require.NoError(t, b.client.Set(t.Context(), keysOf(doc.Campaign, 1).count, "some", 0).Err())
		snapshot, err = b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, Snapshot{Exists: true, Document: doc, Count: -1, Members: -1}, snapshot)

		require.NoError(t, b.client.HSet(t.Context(), metaKey(doc.Campaign), "lo", "low").Err())
		_, err = b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.ErrorContains(t, err, "field lo of")
	})
}

func TestNewClient(t *testing.T) {
	t.Parallel()
	cases := []struct {
		url   string
		check func(t *testing.T, client redis.UniversalClient)
	}{
		{"redis://ann:se%40cret@h:7000/2", func(t *testing.T, client redis.UniversalClient) {
			o := client.(*redis.Client).Options()
			require.Equal(t, []any{"h:7000", "ann", "se@cret", 2}, []any{o.Addr, o.Username, o.Password, o.DB})
			require.Nil(t, o.TLSConfig)
		}},
		{"rediss://h", func(t *testing.T, client redis.UniversalClient) {
			o := client.(*redis.Client).Options()
			require.Equal(t, "h:6379", o.Addr)
			require.NotNil(t, o.TLSConfig)
			require.False(t, o.TLSConfig.InsecureSkipVerify)
		}},
		{"redis://[::1]:7000?db=3", func(t *testing.T, client redis.UniversalClient) {
			o := client.(*redis.Client).Options()
			require.Equal(t, []any{"[::1]:7000", 3}, []any{o.Addr, o.DB})
		}},
		{"rediss://ann:secret@h1,h2:7001,rediss://[::1]/0", func(t *testing.T, client redis.UniversalClient) {
			o := client.(*redis.ClusterClient).Options()
			require.Equal(t, []string{"h1:6379", "h2:7001", "[::1]:6379"}, o.Addrs)
			require.Equal(t, []any{"ann", "secret", -1, 3}, []any{o.Username, o.Password, o.MaxRetries, o.MaxRedirects})
			require.Empty(t, o.TLSConfig.ServerName)
		}},
		{"redis+sentinel://:secret@h1,h2:7001/main?db=1", func(t *testing.T, client redis.UniversalClient) {
			o := client.(*redis.Client).Options()
			require.Equal(t, []any{"FailoverClient", "secret", 1}, []any{o.Addr, o.Password, o.DB})
		}},
	}
	for _, c := range cases {
		t.Run(c.url, func(t *testing.T) {
			t.Parallel()
			client, err := NewClient(c.url)
			require.NoError(t, err)
			t.Cleanup(func() { _ = client.Close() })
			c.check(t, client)
		})
	}
	for _, bad := range []string{
		"", "h:6379", "http://h", "redis://", "redis://h,", "redis://h/two", "redis://h?pool_size=3", "redis://h:port",
		"redis://h1,h2/1", "redis+sentinel://h1,h2", "redis+sentinel://h1/", "redis://u:se%zzcret@h",
	} {
		t.Run("not "+bad, func(t *testing.T) {
			t.Parallel()
			_, err := NewClient(bad)
			require.ErrorContains(t, err, "REDIS_URL")
			require.NotContains(t, err.Error(), "cret")
		})
	}
}

// Every option that a new version of go-redis could choose differently is ours.
func TestNewClientSetsEveryOption(t *testing.T) {
	t.Parallel()
	client, err := NewClient("redis://127.0.0.1:1")
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	o := client.(*redis.Client).Options()
	require.Equal(t, 3, o.Protocol)
	require.Zero(t, o.MaxRetries, "go-redis turns -1 into none")
	require.True(t, o.ContextTimeoutEnabled)
	require.Equal(t, []int{16, 16, 16, 16}, []int{o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns})
	require.Equal(t, []int{1, -1}, []int{o.DialerRetries, o.PipelinePoolSize})
	require.Equal(t, []time.Duration{500 * time.Millisecond, time.Second, time.Second, 200 * time.Millisecond, -1, -1},
		[]time.Duration{o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.ConnMaxIdleTime, o.ConnMaxLifetime})
	require.True(t, o.DisableIdentity)
	require.EqualValues(t, "disabled", o.MaintNotificationsConfig.Mode)
}
