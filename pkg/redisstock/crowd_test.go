package redisstock

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// witness is one answered apply with the order of its call and its reply among all calls and replies.
type witness struct {
	key         coupon.Key
	decision    coupon.Decision
	call, reply int64
}

func TestClaimLimitIsExactUnderACrowd(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		const limit, callers, batches, users = 500, 64, 20, 600
		doc := newDocument(limit)
		doc.PerUserLimit = 2
		b.start(t, doc)

		var clock atomic.Int64
		var mu sync.Mutex
		var seen []witness
		group, ctx := errgroup.WithContext(t.Context())
		for caller := range callers {
			random := rand.New(rand.NewPCG(uint64(caller), 7))
			group.Go(func() error {
				for range batches {
					keys := randomKeys(random, users)
					call := clock.Add(1)
					decisions, err := b.Claim(ctx, doc.Campaign, doc.Epoch, keys)
					if err != nil {
						return err
					}
					reply := clock.Add(1)
					mu.Lock()
					for i, d := range decisions {
						seen = append(seen, witness{key: keys[i], decision: d, call: call, reply: reply})
					}
					mu.Unlock()
				}
				return nil
			})
		}
		require.NoError(t, group.Wait())

		requireFirstCome(t, requireOneSerialPerKey(t, seen, limit))
		snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, Snapshot{
			Exists: true, Document: doc, Count: limit, Members: limit, Serials: limit, Pending: limit,
		}, snapshot)
	})
}

// randomKeys is a batch of up to 40 with twins inside it and double clicks across batches.
func randomKeys(random *rand.Rand, users int) []coupon.Key {
	keys := make([]coupon.Key, 1+random.IntN(40))
	for i := range keys {
		keys[i] = coupon.Key{User: "u" + strconv.Itoa(random.IntN(users)), N: 1 + random.IntN(2)}
		if i > 0 && random.IntN(5) == 0 {
			keys[i] = keys[random.IntN(i)]
		}
	}
	return keys
}

// requireOneSerialPerKey returns the grants by serial, after requiring serials 1 to limit without a gap, one grant for
// each key that has one, and the same serial for every repeat of it.
func requireOneSerialPerKey(t *testing.T, seen []witness, limit int) []witness {
	t.Helper()
	serials := map[coupon.Key]int64{}
	var grants []witness
	for _, w := range seen {
		if w.decision.Verdict == coupon.Granted {
			require.NotContains(t, serials, w.key, "granted twice")
			serials[w.key] = w.decision.Claim.Serial
			grants = append(grants, w)
		}
	}
	for _, w := range seen {
		switch w.decision.Verdict {
		case coupon.Granted:
		case coupon.Held:
			require.Equal(t, serials[w.key], w.decision.Claim.Serial)
		case coupon.RefusedSoldOut:
			require.Equal(t, int64(limit), w.decision.Hi)
		default:
			require.Failf(t, "unexpected verdict", "%+v", w)
		}
	}
	slices.SortFunc(grants, func(a, b witness) int { return int(a.decision.Claim.Serial - b.decision.Claim.Serial) })
	require.Len(t, grants, limit)
	for i, w := range grants {
		require.Equal(t, int64(i+1), w.decision.Claim.Serial)
	}
	return grants
}

// requireFirstCome requires that nobody who was answered before another called has the higher serial.
func requireFirstCome(t *testing.T, grants []witness) {
	t.Helper()
	var latestCall int64
	for _, w := range grants {
		require.GreaterOrEqual(t, w.reply, latestCall, "serial %d was overtaken", w.decision.Claim.Serial)
		latestCall = max(latestCall, w.call)
	}
}

// model is what the claim script must do, in five lines of Go.
type model struct {
	held      map[coupon.Key]int64
	marks     map[coupon.Key]coupon.Mark
	count, hi int64
	perUser   int
}

func (m *model) claim(key coupon.Key) (verdict coupon.Verdict, serial int64, mark coupon.Mark) {
	switch {
	case m.held[key] > 0:
		return coupon.Held, m.held[key], m.marks[key]
	case key.N > m.perUser:
		return coupon.RefusedPerUserLimit, 0, 0
	case m.count >= m.hi:
		return coupon.RefusedSoldOut, 0, 0
	default:
		m.count++
		m.held[key], m.marks[key] = m.count, coupon.MarkReserved
		return coupon.Granted, m.count, coupon.MarkReserved
	}
}

// A batch is nothing but its claims one after another, and both are what the model says, whatever is forgotten and
// however far the limit is raised in between.
func TestClaimInABatchEqualsOneByOne(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		rapid.Check(t, func(rt *rapid.T) {
			doc := newDocument(rapid.Int64Range(0, 12).Draw(rt, "limit"))
			doc.PerUserLimit = 2
			single := doc
			single.Campaign = testenv.Campaign()
			b.start(t, doc)
			b.start(t, single)
			m := &model{held: map[coupon.Key]int64{}, marks: map[coupon.Key]coupon.Mark{}, hi: doc.Hi, perUser: 2}
			key := rapid.Custom(func(rt *rapid.T) coupon.Key {
				return coupon.Key{User: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "1", "01"}).Draw(rt, "user"), N: rapid.IntRange(1, 3).Draw(rt, "n")}
			})
			rt.Repeat(map[string]func(*rapid.T){
				"claim": func(rt *rapid.T) {
					keys := rapid.SliceOfN(key, 1, 8).Draw(rt, "keys")
					for i, d := range b.claimAll(t, doc, keys...) {
						verdict, serial, mark := m.claim(keys[i])
						one := b.claimAll(t, single, keys[i])[0]
						require.Equal(rt, []any{verdict, serial, mark}, []any{d.Verdict, d.Claim.Serial, d.Mark})
						require.Equal(rt, []any{verdict, serial, mark}, []any{one.Verdict, one.Claim.Serial, one.Mark})
						require.Equal(rt, d.Hi, one.Hi)
					}
				},
				"forget": func(rt *rapid.T) {
					keys := rapid.SliceOfN(key, 1, 4).Draw(rt, "keys")
					require.NoError(rt, b.Forget(context.Background(), doc.Campaign, doc.Epoch, keys))
					require.NoError(rt, b.Forget(context.Background(), single.Campaign, single.Epoch, keys))
					for _, k := range keys {
						if m.held[k] > 0 {
							m.marks[k] = coupon.MarkAcked
						}
					}
				},
				"raise": func(rt *rapid.T) {
					by := rapid.Int64Range(0, 3).Draw(rt, "by")
					for _, d := range []*coupon.Document{&doc, &single} {
						d.Hi += by
						d.Version++
						_, err := b.Push(context.Background(), *d)
						require.NoError(rt, err)
					}
					m.hi += by
				},
			})
		})
	})
}
