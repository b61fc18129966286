package redisstock

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Whatever is wrong with the keys, nobody is granted a place, nothing is written, and the caller learns that it is the
// keys and not the call.
func TestClaimGrantsNothingFromBrokenKeys(t *testing.T) {
	cases := []struct {
		name   string
		damage func(ctx context.Context, c redis.UniversalClient, k epochKeys) error
		holder coupon.Verdict
	}{
		{"count deleted", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Del(ctx, k.count).Err()
		}, coupon.Held},
		{"count too high", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Incr(ctx, k.count).Err()
		}, coupon.Held},
		{"count too low", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Decr(ctx, k.count).Err()
		}, coupon.Held},
		{"count no number", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Set(ctx, k.count, "two", 0).Err()
		}, coupon.Held},
		{"count a number that INCR refuses", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Set(ctx, k.count, "2.0", 0).Err()
		}, coupon.Held},
		{"count with a leading zero", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Set(ctx, k.count, "02", 0).Err()
		}, coupon.Held},
		{"count empty", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Set(ctx, k.count, "", 0).Err()
		}, coupon.Held},
		{"a stray member", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.SAdd(ctx, k.users, "stray").Err()
		}, coupon.Held},
		{"a member lost", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.SRem(ctx, k.users, "other").Err()
		}, coupon.Held},
		{"users deleted", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Del(ctx, k.users).Err()
		}, coupon.Broken},
		{"users a list", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return relist(ctx, c, k.users)
		}, coupon.Broken},
		{"a serial lost", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.HDel(ctx, k.serials, "holder").Err()
		}, coupon.Broken},
		{"serials deleted", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return c.Del(ctx, k.serials).Err()
		}, coupon.Broken},
		{"serials a list", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return relist(ctx, c, k.serials)
		}, coupon.Broken},
		{"count a list", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return relist(ctx, c, k.count)
		}, coupon.Held},
		{"pending a list", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return relist(ctx, c, k.pending)
		}, coupon.Held},
		{"meta a list", func(ctx context.Context, c redis.UniversalClient, k epochKeys) error {
			return relist(ctx, c, k.meta)
		}, coupon.Held},
	}
	onEveryRedis(t, func(t *testing.T, b bundle) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				doc := b.start(t, newDocument(10))
				b.claimAll(t, doc, keyFor("holder"), keyFor("other"))
				require.NoError(t, c.damage(t.Context(), b.client, keysOf(doc.Campaign, doc.Epoch)))
				before := b.state(t, doc)

				decisions := b.claimAll(t, doc, keyFor("new"), keyFor("holder"), keyFor("newer"))

				require.Equal(t, coupon.Broken, decisions[0].Verdict)
				require.Equal(t, c.holder, decisions[1].Verdict)
				require.Equal(t, coupon.Broken, decisions[2].Verdict)
				require.Equal(t, before, b.state(t, doc))
			})
		}
	})
}

// Only keys that agree say who is no member: a holder whose membership is lost must not be told that the campaign is
// paused, over or sold out.
func TestClaimSaysNothingOfTheCampaignFromBrokenKeys(t *testing.T) {
	now := time.Now()
	cases := map[string]func(*coupon.Document){
		"paused":           func(d *coupon.Document) { d.State = coupon.DocumentPaused },
		"closed":           func(d *coupon.Document) { d.State = coupon.DocumentClosed },
		"not started":      func(d *coupon.Document) { d.OpensAt = now.Add(time.Minute) },
		"ended":            func(d *coupon.Document) { d.ClosesAt = now.Add(-time.Minute) },
		"no more per user": func(d *coupon.Document) { d.PerUserLimit = 0 },
		"sold out":         func(d *coupon.Document) { d.Hi = 1 },
	}
	onEveryRedis(t, func(t *testing.T, b bundle) {
		for name, change := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				doc := b.start(t, newDocument(5))
				require.Equal(t, coupon.Granted, b.claimOne(t, doc, "holder").Verdict)
				doc.Version++
				change(&doc)
				_, err := b.Push(t.Context(), doc)
				require.NoError(t, err)
				require.NoError(t, b.client.Del(t.Context(), keysOf(doc.Campaign, doc.Epoch).users).Err())
				require.Equal(t, coupon.Broken, b.claimOne(t, doc, "holder").Verdict)
			})
		}
	})
}

func relist(ctx context.Context, c redis.UniversalClient, key string) error {
	if err := c.Del(ctx, key).Err(); err != nil {
		return err
	}
	return c.RPush(ctx, key, "x").Err()
}
