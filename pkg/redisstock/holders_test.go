package redisstock

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// holdersOf reads all holders of an epoch, and in how many steps.
func (b bundle) holdersOf(t *testing.T, ref coupon.EpochRef, hi int64) (found map[coupon.Key]bool, steps int) {
	t.Helper()
	found = map[coupon.Key]bool{}
	for cursor := uint64(0); ; {
		page, total, next, err := b.Holders(t.Context(), ref, hi, cursor)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), 2*holdersStep, "a step is bounded")
		for _, key := range page {
			found[key] = true
		}
		steps++
		if cursor = next; cursor == 0 {
			require.Len(t, found, int(total))
			return found, steps
		}
	}
}

func TestHoldersAreTheMembers(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(5000)
		doc.PerUserLimit = 2
		ref := refOf(b.start(t, doc))
		users := crowd("u", 4999)
		for len(users) > 0 {
			n := min(maxBatch, len(users))
			b.claimAll(t, doc, users[:n]...)
			users = users[n:]
		}
		second := coupon.Key{User: "u7", N: 2}
		_, _, _, err := b.Holders(t.Context(), ref, doc.Hi, 0)
		require.ErrorIs(t, err, ErrNotSoldOut, "one place is free")
		b.claimAll(t, doc, second)

		found, _ := b.holdersOf(t, ref, doc.Hi)

		require.Len(t, found, 5000)
		for _, key := range append(crowd("u", 4999), second) {
			key.Campaign = doc.Campaign
			require.True(t, found[key], "%v", key)
		}
	})
}

func TestHoldersOfAnEmptyEpoch(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(0)
		ref := refOf(b.start(t, doc))
		found, _ := b.holdersOf(t, ref, 0)
		require.Empty(t, found)
	})
}

// What is wrong with the epoch is told by every step, not only by the first.
func TestHoldersAreRefusedUnlessSoldOut(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		for name, spoil := range map[string]func(doc coupon.Document, k epochKeys, ref *coupon.EpochRef, hi *int64) error{
			"another epoch": func(_ coupon.Document, _ epochKeys, ref *coupon.EpochRef, _ *int64) error { ref.Epoch++; return nil },
			"another hi":    func(_ coupon.Document, _ epochKeys, _ *coupon.EpochRef, hi *int64) error { *hi--; return nil },
			"fenced": func(doc coupon.Document, _ epochKeys, _ *coupon.EpochRef, _ *int64) error {
				_, err := b.Fence(t.Context(), refOf(doc))
				return err
			},
			"raised": func(doc coupon.Document, _ epochKeys, _ *coupon.EpochRef, _ *int64) error {
				doc.Version, doc.Hi = 2, doc.Hi+1
				_, err := b.Push(t.Context(), doc)
				return err
			},
			"raised, and asked so": func(doc coupon.Document, _ epochKeys, _ *coupon.EpochRef, hi *int64) error {
				doc.Version, doc.Hi = 2, doc.Hi+1
				*hi = doc.Hi
				_, err := b.Push(t.Context(), doc)
				return err
			},
			"a member lost": func(_ coupon.Document, k epochKeys, _ *coupon.EpochRef, _ *int64) error {
				return b.client.SRem(t.Context(), k.users, "u1").Err()
			},
			"a serial lost": func(_ coupon.Document, k epochKeys, _ *coupon.EpochRef, _ *int64) error {
				return b.client.HDel(t.Context(), k.serials, "u1").Err()
			},
			"the count lost": func(_ coupon.Document, k epochKeys, _ *coupon.EpochRef, _ *int64) error {
				return b.client.Del(t.Context(), k.count).Err()
			},
			"the users of another type": func(_ coupon.Document, k epochKeys, _ *coupon.EpochRef, _ *int64) error {
				return b.client.Set(t.Context(), k.users, "u1", 0).Err()
			},
			"the document lost": func(_ coupon.Document, k epochKeys, _ *coupon.EpochRef, _ *int64) error {
				return b.client.Del(t.Context(), k.meta).Err()
			},
		} {
			doc := b.start(t, newDocument(3))
			b.claimAll(t, doc, crowd("u", 3)...)
			ref, hi := refOf(doc), doc.Hi
			found, _ := b.holdersOf(t, ref, hi)
			require.Len(t, found, 3, name)
			require.NoError(t, spoil(doc, keysOf(doc.Campaign, doc.Epoch), &ref, &hi), name)
			for _, cursor := range []uint64{0, 7} {
				_, _, _, err := b.Holders(t.Context(), ref, hi, cursor)
				require.ErrorIs(t, err, ErrNotSoldOut, "%s, cursor %d", name, cursor)
				require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
			}
		}
	})
}

func TestHoldersAreToldByTheOwnerOnly(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.Redis(t))
	doc := newDocument(3)
	var err error
	doc.Seal, err = b.Seal(t.Context(), doc.Campaign)
	require.NoError(t, err)
	b.start(t, doc)
	b.claimAll(t, doc, crowd("u", 3)...)
	found, _ := b.holdersOf(t, refOf(doc), doc.Hi)
	require.Len(t, found, 3)
	require.NoError(t, b.client.HSet(t.Context(), keysOf(doc.Campaign, 1).meta, "seal", "0123456789abcdef").Err())
	_, _, _, err = b.Holders(t.Context(), refOf(doc), doc.Hi, 0)
	require.ErrorIs(t, err, ErrNotSoldOut)
}
