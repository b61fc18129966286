package redisstock

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestFenceEndsOneEpochForGood(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		fence := func(doc coupon.Document) bool {
			fenced, err := b.Fence(t.Context(), refOf(doc))
			require.NoError(t, err)
			return fenced
		}
		doc := newDocument(10)
		require.False(t, fence(doc), "nothing there")
		require.Zero(t, b.client.Exists(t.Context(), allKeys(doc)...).Val())
		b.start(t, doc)
		holder := b.claimOne(t, doc, "holder")

		require.True(t, fence(doc))
		require.True(t, fence(doc), "again")
		decisions := b.claimAll(t, doc, keyFor("new"), keyFor("holder"))
		require.Equal(t, coupon.WrongEpoch, decisions[0].Verdict)
		require.Equal(t, holder.Claim, decisions[1].Claim, "a holder is answered")
		doc.Version++
		_, err := b.Push(t.Context(), doc)
		require.ErrorIs(t, err, ErrOtherEpoch)
		require.ErrorIs(t, b.Open(t.Context(), doc), ErrOtherEpoch)
		require.Equal(t, coupon.Lost, b.Look(t.Context(), []*coupon.Campaign{recorded(doc)})[0].State)

		next := doc
		next.Epoch, next.Lo, next.Hi = 2, 11, 20
		b.start(t, next)
		require.Equal(t, coupon.Granted, b.claimOne(t, next, "new").Verdict)
		before := b.state(t, next)
		require.False(t, fence(doc), "a late fence")
		later := next
		later.Epoch = 3
		require.False(t, fence(later))
		require.Equal(t, before, b.state(t, next))
		require.EqualValues(t, 12, b.claimOne(t, next, "newer").Claim.Serial)
		require.Equal(t, coupon.Health{State: coupon.Sound}, b.Look(t.Context(), []*coupon.Campaign{recorded(next)})[0])
	})
}

// The fence publishes everything that is pending, leased by a sweeper or not yet due, a page at a time; one that is
// killed hides nothing from the next.
func TestFenceTakesAllThatIsPending(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		const claims = 25
		doc := b.start(t, newDocument(claims))
		b.claimAll(t, doc, crowd("u", claims)...)
		for _, user := range []string{"u1", "u2", "u3"} {
			b.age(t, doc, user, time.Minute)
		}
		leased, err := b.TakePending(t.Context(), doc.Campaign, doc.Epoch, coupon.Take{Limit: 2, Lease: time.Hour})
		require.NoError(t, err)
		require.Len(t, leased, 2)
		takeAll := func(lease time.Duration) map[int64]bool {
			taken := map[int64]bool{}
			for {
				page, err := b.TakePending(t.Context(), doc.Campaign, doc.Epoch, coupon.Take{Limit: 10, Overdue: -24 * time.Hour, Lease: lease})
				require.NoError(t, err)
				if len(page) == 0 {
					return taken
				}
				for _, claim := range page {
					require.False(t, taken[claim.Serial], "taken twice")
					taken[claim.Serial] = true
				}
			}
		}
		const again = 2 * time.Second
		require.Len(t, takeAll(24*time.Hour+again), claims)
		require.Empty(t, takeAll(24*time.Hour+again), "they are the first fencer's for a while")
		others := map[int64]bool{} // a page's lease ends with the page, not with all of them
		await(t, "they are another's", func() bool {
			maps.Copy(others, takeAll(24*time.Hour+again))
			return len(others) == claims
		})
	})
}
