package redisstock

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// rows are claims as the record holds them, from a serial on.
func rows(prefix string, first int64, size int) []coupon.Claim {
	at := time.UnixMilli(1764558000000).UTC()
	claims := make([]coupon.Claim, size)
	for i := range claims {
		claims[i] = coupon.Claim{
			Key: coupon.Key{User: fmt.Sprintf("%s%d", prefix, i), N: 1}, Serial: first + int64(i),
			ClaimedAt: at.Add(time.Duration(i) * time.Millisecond),
		}
	}
	return claims
}

func TestLoadThenOpen(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		const issued, carried, both = 10_000, 300, 100
		doc := newDocument(0)
		doc.Epoch = 5
		loaded := rows("u", 1, issued)
		waiting := append(rows("c", 20_001, carried-both), loaded[:both]...) // issued while the carried ones were read
		for i := range waiting {
			waiting[i].Serial = 20_001 + int64(i)
		}
		waiting = append(waiting, waiting[0]) // one claim with two failed events

		require.NoError(t, b.Prepare(t.Context(), doc))
		for _, claims := range [][]coupon.Claim{waiting, waiting[:50]} {
			require.NoError(t, b.Load(t.Context(), refOf(doc), claims, coupon.MarkCarried))
		}
		for _, claims := range [][]coupon.Claim{loaded[:6000], loaded[5000:]} {
			require.NoError(t, b.Load(t.Context(), refOf(doc), claims, coupon.MarkIssued))
		}
		require.NoError(t, b.Load(t.Context(), refOf(doc), waiting, coupon.MarkCarried), "a late page changes nothing")
		require.NoError(t, b.Load(t.Context(), refOf(doc), nil, coupon.MarkCarried))

		base, err := b.Loaded(t.Context(), refOf(doc))
		require.NoError(t, err)
		require.EqualValues(t, issued+carried-both, base)
		require.Equal(t, coupon.Broken, b.claimOne(t, doc, "new").Verdict, "nothing is granted before Open")
		doc.Lo, doc.Hi, doc.Base = 20_301, 20_302, base
		require.ErrorIs(t, b.Open(t.Context(), doc), ErrNotLoaded, "prepared for another range")
		require.NoError(t, b.client.Set(t.Context(), keysOf(doc.Campaign, doc.Epoch).count, doc.Lo-1, 0).Err())
		require.Equal(t, coupon.Unopened, b.Look(t.Context(), []*coupon.Campaign{recorded(doc)})[0].State)
		require.NoError(t, b.Open(t.Context(), doc))
		require.Equal(t, coupon.Health{State: coupon.Sound}, b.Look(t.Context(), []*coupon.Campaign{recorded(doc)})[0])

		decisions := b.claimAll(t, doc, keyFor("u0"), keyFor("u9999"), keyFor("c7"), keyFor("new"), keyFor("newer"), keyFor("late"))
		want := loaded[9999]
		want.Campaign, want.Epoch = doc.Campaign, doc.Epoch
		require.Equal(t, coupon.Decision{Verdict: coupon.Held, Claim: want, Mark: coupon.MarkIssued}, decisions[1])
		require.Equal(t, []coupon.Mark{'i', 'i', 'c', 'p', 'p', 0}, marksOf(decisions))
		require.Equal(t, []int64{1, 10_000, 20_008, 20_301, 20_302, 0}, serialsOf(decisions))
		require.Equal(t, coupon.RefusedSoldOut, decisions[5].Verdict)

		before := b.state(t, doc)
		for _, mark := range []coupon.Mark{coupon.MarkIssued, coupon.MarkCarried} {
			err := b.Load(t.Context(), refOf(doc), rows("late", 90_000, 2), mark)
			require.ErrorIs(t, err, ErrOtherEpoch)
			require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
		}
		earlier := coupon.EpochRef{Campaign: doc.Campaign, Epoch: 4}
		require.ErrorIs(t, b.Load(t.Context(), earlier, rows("late", 90_000, 2), coupon.MarkIssued), ErrOtherEpoch)
		require.Equal(t, before, b.state(t, doc))
	})
}

func marksOf(decisions []coupon.Decision) []coupon.Mark {
	marks := make([]coupon.Mark, len(decisions))
	for i, d := range decisions {
		marks[i] = d.Mark
	}
	return marks
}

func serialsOf(decisions []coupon.Decision) []int64 {
	serials := make([]int64, len(decisions))
	for i, d := range decisions {
		serials[i] = d.Claim.Serial
	}
	return serials
}

// A Redis that lost its keys half-way must not pass for one that was loaded.
func TestLoadNoticesThatItsKeysAreGone(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(10)
		k := keysOf(doc.Campaign, doc.Epoch)
		load := func() error { return b.Load(t.Context(), refOf(doc), rows("u", 1, 3), coupon.MarkIssued) }
		require.ErrorIs(t, load(), ErrNotLoaded)
		_, err := b.Loaded(t.Context(), refOf(doc))
		require.ErrorIs(t, err, ErrNotLoaded)
		require.Zero(t, b.client.Exists(t.Context(), allKeys(doc)...).Val())

		require.NoError(t, b.Prepare(t.Context(), doc))
		require.NoError(t, load())
		require.NoError(t, b.client.Del(t.Context(), k.users).Err())
		_, err = b.Loaded(t.Context(), refOf(doc))
		require.ErrorIs(t, err, ErrNotLoaded)
		for _, key := range []string{k.users, k.serials, k.count} {
			require.NoError(t, b.Prepare(t.Context(), doc))
			require.NoError(t, relist(t.Context(), b.client, key))
			before := b.state(t, doc)
			require.ErrorIs(t, load(), ErrNotLoaded)
			_, err = b.Loaded(t.Context(), refOf(doc))
			require.ErrorIs(t, err, ErrNotLoaded)
			require.Equal(t, before, b.state(t, doc))
		}
	})
}

func TestDiscardLeavesTheLiveEpoch(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		const live = 12
		docs := make([]coupon.Document, live+2) // by epoch; the last is being loaded
		for epoch := 1; epoch <= live+1; epoch++ {
			doc := newDocument(100)
			doc.Epoch = int64(epoch)
			if epoch > 1 {
				doc.Campaign = docs[1].Campaign
			}
			if docs[epoch] = doc; epoch > live {
				require.NoError(t, b.Prepare(t.Context(), doc))
				require.NoError(t, b.Load(t.Context(), refOf(doc), rows("u", 1, 3), coupon.MarkIssued))
				break
			}
			b.start(t, doc)
			b.claimAll(t, doc, crowd("u", 3)...)
		}
		before, loading := b.state(t, docs[live]), b.state(t, docs[live+1])

		for range 2 {
			require.NoError(t, b.Discard(t.Context(), docs[1].Campaign, live))
		}

		require.Equal(t, before, b.state(t, docs[live]))
		require.Equal(t, loading, b.state(t, docs[live+1]))
		var left []int
		for epoch := 1; epoch < live; epoch++ {
			keys := slices.DeleteFunc(allKeys(docs[epoch]), func(key string) bool { return key == metaKey(docs[1].Campaign) })
			if b.client.Exists(t.Context(), keys...).Val() > 0 {
				left = append(left, epoch)
			}
		}
		require.Equal(t, []int{1, 2, 3}, left, "it looks eight epochs back")
		require.NoError(t, b.Discard(t.Context(), docs[1].Campaign, 1))
		require.Equal(t, coupon.Held, b.claimOne(t, docs[live], "u0").Verdict)
	})
}
