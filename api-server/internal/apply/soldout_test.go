package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// sellOut has Redis hold a claim of each holder, and no place for anybody else. It returns how often Redis was asked.
func (b *bench) sellOut(t *testing.T, holders ...string) (asked *atomic.Int64) {
	t.Helper()
	b.see(t, func(c *coupon.Campaign) { c.EndsAt = time.Now().Add(time.Hour) })
	asked = &atomic.Int64{}
	held := map[string]coupon.Decision{}
	for i, user := range holders {
		d := granted(key(user), int64(i+1))
		d.Verdict, d.Mark = coupon.Held, coupon.MarkAcked
		held[user] = d
	}
	b.claim = func(keys []coupon.Key) ([]coupon.Decision, error) {
		asked.Add(1)
		decisions := make([]coupon.Decision, len(keys))
		for i, k := range keys {
			if d, ok := held[k.User]; ok && k.N == 1 {
				decisions[i] = d
				continue
			}
			decisions[i] = coupon.Decision{Verdict: coupon.RefusedSoldOut, Hi: b.campaign.Hi}
		}
		return decisions, nil
	}
	b.holders = func() (all []coupon.Key, err error) {
		for user := range held {
			all = append(all, key(user))
		}
		return all, nil
	}
	return asked
}

// remember applies until a refusal comes from memory, and returns what was told before, and then.
func (b *bench) remember(t *testing.T, asked *atomic.Int64) (byRedis, fromMemory error) {
	t.Helper()
	for range 10 {
		before := asked.Load()
		_, err := b.service.Apply(t.Context(), key("stranger"))
		if asked.Load() == before {
			return byRedis, err
		}
		byRedis = err
		synctest.Wait()
	}
	require.Fail(t, "never refused from memory")
	return nil, nil
}

func (b *bench) fromMemory(t *testing.T) float64 {
	t.Helper()
	var value dto.Metric
	require.NoError(t, b.service.metrics.fromMemory.Write(&value))
	return value.GetCounter().GetValue()
}

func TestASoldOutCampaignRefusesFromMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		asked := b.sellOut(t, "kim", "lee")
		byRedis, fromMemory := b.remember(t, asked)
		require.Same(t, byRedis, fromMemory, "what is told from memory is what Redis would have told")
		require.InDelta(t, 1, b.fromMemory(t), 0)

		before := asked.Load()
		for i := range 100 {
			_, err := b.service.Apply(t.Context(), key(fmt.Sprint("stranger", i)))
			require.Same(t, errSoldOut, err)
		}
		require.Equal(t, before, asked.Load())
		for range 3 {
			a, err := b.service.Apply(t.Context(), key("lee"))
			require.NoError(t, err)
			require.True(t, a.Replayed)
			require.Equal(t, int64(2), a.Claim.Serial)
		}
		require.Equal(t, before+3, asked.Load(), "a holder is answered by Redis")
		_, err := b.service.Apply(t.Context(), coupon.Key{Campaign: campaignID, User: "lee", N: 2})
		require.Same(t, errSoldOut, err, "lee holds the first, not the second")
		_, err = b.service.Apply(t.Context(), coupon.Key{Campaign: campaignID, User: "lee", N: 3})
		require.Same(t, errPerUserLimit, err)
		require.Equal(t, before+3, asked.Load())
	})
}

// The view says more than Redis did half a second ago, and nothing without its age.
func TestTheViewEndsRefusalsFromMemory(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *coupon.Campaign){
		"raised":  func(c *coupon.Campaign) { c.Hi++ },
		"paused":  func(c *coupon.Campaign) { c.Status = coupon.CampaignPaused; c.Version++ },
		"fencing": func(c *coupon.Campaign) { c.EpochState = coupon.EpochFencing },
		"next":    func(c *coupon.Campaign) { c.Epoch++ },
		"in sql":  func(c *coupon.Campaign) { c.Mode = coupon.ModeSQL },
		"stale":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				asked := b.sellOut(t, "kim")
				_, _ = b.remember(t, asked)
				if change == nil {
					pass(t, 1200*time.Millisecond)
					_, _ = b.service.Apply(t.Context(), key("kim")) // says nothing about the stock
					_, _ = b.remember(t, asked)
					pass(t, 301*time.Millisecond) // the view is too old, the answer is not
					before := asked.Load()
					_, _ = b.service.Apply(t.Context(), key("stranger"))
					_, _ = b.service.Apply(t.Context(), key("stranger"))
					require.Equal(t, before+2, asked.Load(), "the first is not the one that asks for all")
					return
				}
				b.see(t, change)
				before := b.fromMemory(t)
				_, _ = b.service.Apply(t.Context(), key("stranger"))
				require.InDelta(t, before, b.fromMemory(t), 0)
			})
		})
	}
}

// A Redis that is not fenced yet, as on the way into mode sql, still judges by the epoch that ends.
func TestNobodyIsRefusedByAnEpochThatEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	verdict := coupon.RefusedSoldOut
	b.claim = func(keys []coupon.Key) ([]coupon.Decision, error) {
		return slices.Repeat([]coupon.Decision{{Verdict: verdict, Hi: 1000}}, len(keys)), nil
	}
	for _, state := range []coupon.EpochState{coupon.EpochFencing, coupon.EpochLoading} {
		b.see(t, func(c *coupon.Campaign) { c.EpochState, c.Status = state, coupon.CampaignActive })
		for verdict = coupon.RefusedSoldOut; verdict <= coupon.RefusedPaused; verdict++ {
			_, err := b.service.Apply(t.Context(), key("u"))
			require.Same(t, errNotReady, err)
		}
	}
	b.see(t, func(c *coupon.Campaign) { c.Status = coupon.CampaignClosed })
	verdict = coupon.RefusedEnded
	_, err := b.service.Apply(t.Context(), key("u"))
	require.Same(t, errEnded, err, "a closed campaign has no next epoch")
}

// slowView is a database that takes its time to tell of the campaigns.
type slowView struct {
	*bench
	takes time.Duration
}

func (s slowView) View(ctx context.Context) ([]coupon.Campaign, error) {
	<-time.After(s.takes)
	return s.bench.View(ctx)
}

// While the next view is on its way, the crowd is still refused by the last one.
func TestTheCrowdDoesNotWaitForTheNextView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		asked := b.sellOut(t, "kim")
		ctx, stop := context.WithCancel(t.Context())
		b.service.view.source = slowView{b, 300 * time.Millisecond}
		go b.service.view.Run(ctx)
		pass(t, 2*refreshEvery)
		_, _ = b.remember(t, asked)
		before := asked.Load()
		for range 5000 { // five seconds
			_, err := b.service.Apply(t.Context(), key("stranger"))
			require.Same(t, errSoldOut, err)
			pass(t, time.Millisecond)
		}
		require.LessOrEqual(t, asked.Load()-before, int64(21), "one asks for all, four times a second")
		stop()
		pass(t, refreshEvery) // until the last view is read
	})
}

func pass(t *testing.T, d time.Duration) {
	t.Helper()
	<-time.After(d)
	synctest.Wait()
}

func TestARefusalFromMemoryAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		asked := b.sellOut(t, "kim")
		_, _ = b.remember(t, asked)
		ctx, k := t.Context(), key("stranger")
		before := asked.Load()
		allocated := testing.AllocsPerRun(100, func() { _, _ = b.service.Apply(ctx, k) })
		require.Equal(t, before, asked.Load())
		require.Zero(t, allocated)
	})
}

// forgetful is a Redis whose holders are not told.
type forgetful struct{ *redisstock.Stock }

func (forgetful) Holders(context.Context, coupon.EpochRef, int64, uint64) ([]coupon.Key, int64, uint64, error) {
	return nil, 0, 0, errAway
}

// BenchmarkRefusal is what it costs to refuse an apply to a campaign with 1,000 holders that is sold out: from memory, and by
// a real Redis, where all that wait ride in one call.
func BenchmarkRefusal(b *testing.B) {
	url := os.Getenv("REDIS_URL")
	require.NotEmpty(b, url, `eval "$(scripts/services.sh env)" sets it`)
	client, err := redisstock.NewClient(url)
	require.NoError(b, err)
	b.Cleanup(func() { _ = client.Close() })
	real := redisstock.New(client)
	b.Run("from memory", func(b *testing.B) { refuse(b, real, real) })
	b.Run("by Redis", func(b *testing.B) { refuse(b, real, forgetful{real}) })
}

func refuse(b *testing.B, real *redisstock.Stock, stock stock) {
	b.Helper()
	f := &bench{}
	f.campaign = coupon.Campaign{
		ID: "b-" + strconv.FormatInt(time.Now().UnixNano(), 36), Limit: 1000, PerUserLimit: 1, Status: coupon.CampaignActive, Epoch: 1, Version: 1,
		EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Lo: 1, Hi: 1000, HiWanted: 1000,
		StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
	}
	ctx, id := b.Context(), f.campaign.ID
	b.Cleanup(func() { _ = real.Discard(context.Background(), id, 2) })
	require.NoError(b, real.Prepare(ctx, f.campaign.Document()))
	require.NoError(b, real.Open(ctx, f.campaign.Document()))
	holders := make([]coupon.Key, 1000)
	for i := range holders {
		holders[i] = coupon.Key{Campaign: id, User: fmt.Sprint("holder", i), N: 1}
	}
	_, err := real.Claim(ctx, id, 1, holders)
	require.NoError(b, err)

	view := NewView(f, slog.New(slog.DiscardHandler))
	require.NoError(b, view.Refresh(ctx))
	go view.Run(ctx)
	service := NewService(view, stock, f, f, Limits{Queue: 8192, Batch: 128}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	var users, unheard atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		k := coupon.Key{Campaign: id, User: fmt.Sprint("stranger", users.Add(1)), N: 1}
		for pb.Next() {
			if _, err := service.Apply(ctx, k); !errors.Is(err, errSoldOut) {
				unheard.Add(1) // a Redis that is late on a busy machine
			}
		}
	})
	var value dto.Metric
	_ = service.metrics.fromMemory.Write(&value)
	b.ReportMetric(100*value.GetCounter().GetValue()/float64(b.N), "%memory")
	require.Less(b, unheard.Load(), int64(max(1000, b.N/10)))
}
