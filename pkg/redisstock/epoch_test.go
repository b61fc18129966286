package redisstock

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestOpenMayBeRepeated(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(2))
		require.Equal(t, coupon.Granted, b.claimOne(t, doc, "kim").Verdict)

		require.NoError(t, b.Open(t.Context(), doc), "the same document")
		newer := doc
		newer.Version, newer.Hi = 5, 3
		require.NoError(t, b.Open(t.Context(), newer), "a newer one is a push")
		require.NoError(t, b.Open(t.Context(), doc), "an older one changes nothing")

		snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, Snapshot{Exists: true, Document: newer, Count: 1, Members: 1, Serials: 1, Pending: 1}, snapshot)
	})
}

func TestOpenRefuses(t *testing.T) {
	set := func(key func(epochKeys) string, value string) func(*testing.T, bundle, *coupon.Document) {
		return func(t *testing.T, b bundle, doc *coupon.Document) {
			require.NoError(t, b.client.Set(t.Context(), key(keysOf(doc.Campaign, doc.Epoch)), value, 0).Err())
		}
	}
	cases := []struct {
		name   string
		damage func(*testing.T, bundle, *coupon.Document)
		want   error
	}{
		{"no keys", func(t *testing.T, b bundle, doc *coupon.Document) {
			require.NoError(t, b.client.Del(t.Context(), allKeys(*doc)...).Err())
		}, ErrNotLoaded},
		{"another count", set(func(k epochKeys) string { return k.count }, "1"), ErrNotLoaded},
		{"users that are no set", set(func(k epochKeys) string { return k.users }, "1"), ErrNotLoaded},
		{"a user without a serial", func(t *testing.T, b bundle, doc *coupon.Document) {
			doc.Base = 1
			require.NoError(t, b.client.SAdd(t.Context(), keysOf(doc.Campaign, doc.Epoch).users, "kim").Err())
		}, ErrNotLoaded},
		{"fewer users than the base", func(_ *testing.T, _ bundle, doc *coupon.Document) { doc.Base = 1 }, ErrNotLoaded},
		{"a later epoch is open", func(t *testing.T, b bundle, doc *coupon.Document) {
			later := *doc
			later.Epoch++
			b.start(t, later)
		}, ErrOtherEpoch},
		{"its epoch is fenced", func(t *testing.T, b bundle, doc *coupon.Document) {
			require.NoError(t, b.Open(t.Context(), *doc))
			require.NoError(t, b.client.HSet(t.Context(), metaKey(doc.Campaign), "state", "fenced").Err())
		}, ErrOtherEpoch},
	}
	onEveryRedis(t, func(t *testing.T, b bundle) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				doc := newDocument(10)
				t.Cleanup(func() { b.client.Unlink(context.Background(), allKeys(doc)...) })
				require.NoError(t, b.Prepare(t.Context(), doc))
				c.damage(t, b, &doc)
				before := b.state(t, doc)
				err := b.Open(t.Context(), doc)
				require.ErrorIs(t, err, c.want)
				require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
				require.Equal(t, before, b.state(t, doc))
			})
		}
	})
}

func TestOpenCountsWhatWasLoaded(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(0)
		doc.Epoch, doc.Lo, doc.Hi, doc.Base = 3, 101, 102, 2
		t.Cleanup(func() { b.client.Unlink(context.Background(), allKeys(doc)...) })
		require.NoError(t, b.Prepare(t.Context(), doc))
		k := keysOf(doc.Campaign, doc.Epoch)
		require.NoError(t, b.client.SAdd(t.Context(), k.users, "kim", "lee").Err())
		require.NoError(t, b.client.HSet(t.Context(), k.serials, "kim", "7|1764558000000|i", "lee", "100|1764558000001|c").Err())
		require.NoError(t, b.Open(t.Context(), doc))

		decisions := b.claimAll(t, doc, keyFor("new"), keyFor("kim"), keyFor("lee"), keyFor("newer"), keyFor("newest"))
		require.EqualValues(t, 101, decisions[0].Claim.Serial)
		require.Equal(t, coupon.MarkIssued, decisions[1].Mark)
		require.EqualValues(t, 7, decisions[1].Claim.Serial)
		require.Equal(t, time.UnixMilli(1764558000000).UTC(), decisions[1].Claim.ClaimedAt)
		require.Equal(t, coupon.MarkCarried, decisions[2].Mark)
		require.EqualValues(t, 102, decisions[3].Claim.Serial)
		require.Equal(t, coupon.RefusedSoldOut, decisions[4].Verdict)
	})
}

func TestPrepareKeepsALiveEpoch(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(10)
		doc.Epoch = 2
		b.start(t, doc)
		b.claimOne(t, doc, "kim")
		before := b.state(t, doc)

		earlier := doc
		earlier.Epoch = 1
		err := b.Prepare(t.Context(), doc)
		require.ErrorIs(t, err, ErrOtherEpoch)
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
		require.ErrorIs(t, b.Prepare(t.Context(), earlier), ErrOtherEpoch)
		require.Equal(t, before, b.state(t, doc))

		next := doc
		next.Epoch, next.Version, next.Lo, next.Hi = 3, 2, 11, 20
		b.start(t, next)
		require.Equal(t, coupon.WrongEpoch, b.claimOne(t, doc, "lee").Verdict)
		require.EqualValues(t, 11, b.claimOne(t, next, "lee").Claim.Serial)
	})
}

func TestPrepareClearsWhatAnAbandonedLoadLeft(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(10)
		k := keysOf(doc.Campaign, doc.Epoch)
		require.NoError(t, b.client.SAdd(t.Context(), k.users, "stray").Err())
		require.NoError(t, b.client.RPush(t.Context(), k.count, "not a count").Err())
		b.start(t, doc)
		require.EqualValues(t, 1, b.claimOne(t, doc, "kim").Claim.Serial)
	})
}

func TestPushIsMonotonic(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(1))
		group, ctx := errgroup.WithContext(t.Context())
		for _, version := range rand.Perm(40) {
			pushed := doc
			pushed.Version, pushed.Hi = int64(version+2), int64(version+2)
			group.Go(func() error {
				held, err := b.Push(ctx, pushed)
				if err == nil && held.Version < pushed.Version {
					return strconv.ErrRange
				}
				return err
			})
		}
		require.NoError(t, group.Wait())
		held, err := b.Push(t.Context(), doc)
		require.NoError(t, err)
		require.Equal(t, coupon.Pushed{Version: 41, Hi: 41, Last: 0}, held)
	})
}

func TestPushRaisesAndLowersHi(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(2))
		push := func(version, hi int64) coupon.Pushed {
			doc.Version, doc.Hi = version, hi
			held, err := b.Push(t.Context(), doc)
			require.NoError(t, err)
			return held
		}
		granted := func(prefix string) (n int) {
			for _, d := range b.claimAll(t, doc, crowd(prefix, 20)...) {
				if d.Verdict == coupon.Granted {
					n++
				}
			}
			return n
		}
		require.Equal(t, 2, granted("a"))
		require.Equal(t, coupon.Pushed{Version: 2, Hi: 5, Last: 2}, push(2, 5))
		require.Equal(t, 3, granted("b"), "a raise admits exactly the difference")
		require.Equal(t, coupon.Pushed{Version: 3, Hi: 5, Last: 5}, push(3, 4), "serial 5 is given out")
		require.Equal(t, 0, granted("c"))
		require.Equal(t, coupon.Pushed{Version: 4, Hi: 9, Last: 5}, push(4, 9))
		require.Equal(t, coupon.Pushed{Version: 5, Hi: 6, Last: 5}, push(5, 6))
		require.Equal(t, 1, granted("d"))
		require.Equal(t, coupon.Pushed{Version: 6, Hi: 6, Last: 6}, push(6, 6))
		require.Equal(t, 0, granted("e"))
	})
}

func TestPushTakesTheRestOfADocumentWhoseHiIsTooLow(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(5))
		b.claimAll(t, doc, crowd("u", 3)...)
		doc.Version, doc.Hi, doc.State, doc.PerUserLimit = 2, 1, coupon.DocumentPaused, 4
		doc.OpensAt, doc.ClosesAt = doc.OpensAt.Add(time.Second), doc.ClosesAt.Add(time.Second)
		held, err := b.Push(t.Context(), doc)
		require.NoError(t, err)
		require.Equal(t, coupon.Pushed{Version: 2, Hi: 5, Last: 3}, held)

		doc.Hi = 5
		snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, doc, snapshot.Document)
	})
}

func TestPushRefuses(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(10)
		doc.Version = 9
		_, err := b.Push(t.Context(), doc)
		require.ErrorIs(t, err, ErrMissing)
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
		require.Zero(t, b.client.Exists(t.Context(), allKeys(doc)...).Val(), "a push makes no document")

		b.start(t, doc)
		other := doc
		other.Epoch, other.Version = 2, 10
		held, err := b.Push(t.Context(), other)
		require.ErrorIs(t, err, ErrOtherEpoch)
		require.Equal(t, coupon.Pushed{Version: 9, Hi: 10}, held)

		require.NoError(t, b.client.HSet(t.Context(), metaKey(doc.Campaign), "state", "fenced").Err())
		doc.Version = 11
		_, err = b.Push(t.Context(), doc)
		require.ErrorIs(t, err, ErrOtherEpoch, "a late push cannot undo a fence")
		require.Equal(t, coupon.WrongEpoch, b.claimOne(t, doc, "kim").Verdict)

		torn := b.start(t, newDocument(10))
		require.NoError(t, b.client.Del(t.Context(), keysOf(torn.Campaign, torn.Epoch).count).Err())
		torn.Version++
		_, err = b.Push(t.Context(), torn)
		require.ErrorIs(t, err, ErrMissing)
	})
}
