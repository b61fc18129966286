package redisstock

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// age makes the pending claim of a user due since ago.
func (b bundle) age(t *testing.T, doc coupon.Document, user string, ago time.Duration) {
	t.Helper()
	due := redis.Z{Score: float64(time.Now().Add(-ago).UnixMilli()), Member: user}
	require.NoError(t, b.client.ZAddXX(t.Context(), keysOf(doc.Campaign, doc.Epoch).pending, due).Err())
}

func TestForgetMarksAndRemoves(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(10)
		doc.PerUserLimit = 2
		b.start(t, doc)
		second := coupon.Key{User: "kim", N: 2}
		granted := b.claimAll(t, doc, keyFor("kim"), second, keyFor("lee"))

		for range 2 { // an acknowledgement may come twice
			require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{second, keyFor("nobody"), keyFor("kim")}))
		}

		decisions := b.claimAll(t, doc, keyFor("kim"), second, keyFor("lee"))
		marks := []coupon.Mark{decisions[0].Mark, decisions[1].Mark, decisions[2].Mark}
		require.Equal(t, []coupon.Mark{coupon.MarkAcked, coupon.MarkAcked, coupon.MarkReserved}, marks)
		for i := range decisions {
			require.Equal(t, granted[i].Claim, decisions[i].Claim, "only the mark changes")
		}
		snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, []int64{3, 3, 3, 1}, []int64{snapshot.Count, snapshot.Members, snapshot.Serials, snapshot.Pending})
		require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, nil))
	})
}

func TestForgetKeepsOtherMarks(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(10))
		b.claimAll(t, doc, crowd("u", 4)...)
		k := keysOf(doc.Campaign, doc.Epoch)
		require.NoError(t, b.client.HSet(t.Context(), k.serials, "u0", "1|5|i", "u1", "2|5|c", "u2", "3|5", "u3", "junk").Err())

		require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, crowd("u", 4)))

		stored, err := b.client.HGetAll(t.Context(), k.serials).Result()
		require.NoError(t, err)
		require.Equal(t, map[string]string{"u0": "1|5|i", "u1": "2|5|c", "u2": "3|5|a", "u3": "junk"}, stored)
		require.Equal(t, coupon.MarkIssued, b.claimOne(t, doc, "u0").Mark)
		require.Equal(t, coupon.Broken, b.claimOne(t, doc, "u3").Verdict)
	})
}

func TestForgetMakesNothing(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(10))
		b.claimAll(t, doc, keyFor("kim"), keyFor("lee"))
		k := keysOf(doc.Campaign, doc.Epoch)

		require.NoError(t, b.client.HDel(t.Context(), k.serials, "kim").Err())
		require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("kim"), keyFor("lee")}))
		require.False(t, b.client.HExists(t.Context(), k.serials, "kim").Val())

		require.NoError(t, b.client.Del(t.Context(), allKeys(doc)...).Err())
		require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("kim"), keyFor("lee")}))
		require.Zero(t, b.client.Exists(t.Context(), allKeys(doc)...).Val())
	})
}

func TestTakePendingIsOldestFirstAndLeased(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(10))
		granted := b.claimAll(t, doc, keyFor("new"), keyFor("old"), keyFor("older"), keyFor("oldest"))
		for i, user := range []string{"old", "older", "oldest"} {
			b.age(t, doc, user, time.Duration(i+1)*time.Minute)
		}
		take := func(take coupon.Take) []string {
			claims, err := b.TakePending(t.Context(), doc.Campaign, doc.Epoch, take)
			require.NoError(t, err)
			users := []string{}
			for _, claim := range claims {
				require.Equal(t, granted[claim.Serial-1].Claim, claim)
				users = append(users, claim.User)
			}
			return users
		}
		lease := 50 * time.Millisecond
		require.Empty(t, take(coupon.Take{Limit: 0, Lease: lease}))
		require.Equal(t, []string{"oldest"}, take(coupon.Take{Limit: 10, Lease: time.Hour, Overdue: 150 * time.Second}))
		require.Equal(t, []string{"older"}, take(coupon.Take{Limit: 1, Lease: time.Hour}))
		require.Equal(t, []string{"old"}, take(coupon.Take{Limit: 10, Lease: time.Hour}), "leased and not yet due ones are not taken")
		b.age(t, doc, "older", time.Minute)
		require.Equal(t, []string{"older"}, take(coupon.Take{Limit: 1, Lease: lease}))
		await(t, "a lease ends", func() bool {
			users := take(coupon.Take{Limit: 1, Lease: time.Hour})
			return len(users) == 1 && users[0] == "older"
		})
		await(t, "a new claim is due after 2 s", func() bool {
			users := take(coupon.Take{Limit: 10, Lease: time.Hour})
			return len(users) == 1 && users[0] == "new"
		})
	})
}

func TestTakePendingGivesEachToOneTaker(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		const claims = 300
		doc := b.start(t, newDocument(claims))
		b.claimAll(t, doc, crowd("u", claims)...)
		for _, key := range crowd("u", claims) {
			b.age(t, doc, key.User, time.Second)
		}
		var mu sync.Mutex
		taken := map[int64]int{}
		group, ctx := errgroup.WithContext(t.Context())
		for range 8 {
			group.Go(func() error {
				for {
					page, err := b.TakePending(ctx, doc.Campaign, doc.Epoch, coupon.Take{Limit: 7, Lease: time.Hour})
					if err != nil || len(page) == 0 {
						return err
					}
					mu.Lock()
					for _, claim := range page {
						taken[claim.Serial]++
						if taken[claim.Serial] > 1 {
							err = fmt.Errorf("serial %d was taken twice", claim.Serial)
						}
					}
					mu.Unlock()
					if err != nil {
						return err
					}
				}
			})
		}
		require.NoError(t, group.Wait())
		require.Len(t, taken, claims)
	})
}

func TestTakePendingIsNotStoppedByWhatItCannotRead(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(10))
		b.claimAll(t, doc, keyFor("lost"), keyFor("junk"), keyFor("good"))
		for i, user := range []string{"good", "junk", "lost"} {
			b.age(t, doc, user, time.Duration(i+1)*time.Minute)
		}
		k := keysOf(doc.Campaign, doc.Epoch)
		require.NoError(t, b.client.HDel(t.Context(), k.serials, "lost").Err())
		require.NoError(t, b.client.HSet(t.Context(), k.serials, "junk", "junk").Err())
		var users []string
		for range 3 {
			claims, err := b.TakePending(t.Context(), doc.Campaign, doc.Epoch, coupon.Take{Limit: 1, Lease: time.Hour})
			require.NoError(t, err)
			for _, claim := range claims {
				users = append(users, claim.User)
			}
		}
		require.Equal(t, []string{"good"}, users)
		require.EqualValues(t, 3, b.client.ZCard(t.Context(), k.pending).Val(), "a take removes nothing")
	})
}
