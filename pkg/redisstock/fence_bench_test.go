package redisstock

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// BenchmarkLoad is how fast an epoch is loaded with rows, user ids as long as a UUID, and for how long one call
// of at most 1000 keeps everybody else waiting.
func BenchmarkLoad(b *testing.B) { benchmarkLoad(b, 100_000) }

// BenchmarkLoadMillion is a campaign of a million rows, from Prepare to the first grant.
func BenchmarkLoadMillion(b *testing.B) { benchmarkLoad(b, 1_000_000) }

func benchmarkLoad(b *testing.B, size int) {
	stock := connectPatiently(b, testenv.PrivateRedis(b).URL)
	ctx := b.Context()
	claims := rows("", 1, size)
	for i := range claims {
		claims[i].User = fmt.Sprintf("9f1c6f0e-2b7d-4c55-8a3e-%012x", i*2654435761)
	}
	var loading, computing, opening time.Duration
	var calls []time.Duration
	for b.Loop() {
		doc := newDocument(int64(size) + 1)
		doc.Lo, doc.Base = int64(size)+1, int64(size)
		var err error
		doc.Seal, err = stock.Seal(ctx, doc.Campaign)
		require.NoError(b, err)
		require.NoError(b, stock.Prepare(ctx, doc))
		before := stock.cpu(b)
		started := time.Now()
		for page := 0; page < size; page += maxBatch {
			called := time.Now()
			require.NoError(b, stock.Load(ctx, refOf(doc), claims[page:min(page+maxBatch, size)], coupon.MarkIssued))
			calls = append(calls, time.Since(called))
		}
		loading += time.Since(started)
		computing += stock.cpu(b) - before
		opened := time.Now()
		base, err := stock.Loaded(ctx, refOf(doc))
		require.NoError(b, err)
		require.EqualValues(b, size, base)
		require.NoError(b, stock.Open(ctx, doc))
		require.Equal(b, coupon.Granted, stock.claimOne(b, doc, "new").Verdict)
		opening += time.Since(opened)
		require.NoError(b, stock.client.FlushAllAsync(ctx).Err())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(size*b.N)/loading.Seconds(), "members/s")
	slices.Sort(calls)
	b.ReportMetric(milliseconds(computing)/float64(len(calls)), "redis-cpu-ms/call")
	b.ReportMetric(milliseconds(calls[len(calls)/2]), "p50-call-ms")
	b.ReportMetric(milliseconds(calls[len(calls)*99/100]), "p99-call-ms")
	b.ReportMetric(milliseconds(calls[len(calls)-1]), "max-call-ms")
	b.ReportMetric(milliseconds(opening)/float64(b.N), "open-ms")
}

// cpu is what the server's main thread has computed since it started: on a busy machine a better measure than the clock.
func (b bundle) cpu(tb testing.TB) time.Duration {
	tb.Helper()
	told, err := info(tb.Context(), b.client, "cpu")
	require.NoError(tb, err)
	var total float64
	for _, field := range []string{"used_cpu_user_main_thread", "used_cpu_sys_main_thread"} {
		seconds, err := strconv.ParseFloat(told[field], 64)
		require.NoError(tb, err)
		total += seconds
	}
	return time.Duration(total * float64(time.Second))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkSeal is what the seal costs Redis in a claim, sealed and unsealed campaigns taking turns.
func BenchmarkSeal(b *testing.B) {
	for _, batch := range []int{1, coalesceTo} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			const calls = 1000
			stock := connect(b, testenv.PrivateRedis(b).URL)
			seal, err := stock.Seal(b.Context(), "any")
			require.NoError(b, err)
			keys := crowd("9f1c6f0e-2b7d-4c55-8a3e-", calls*batch)
			claim := func(seal string) time.Duration {
				doc := newDocument(int64(len(keys)))
				doc.Seal = seal
				require.NoError(b, stock.Prepare(b.Context(), doc))
				require.NoError(b, stock.Open(b.Context(), doc))
				started := stock.cpu(b)
				for call := range calls {
					_, err := stock.Claim(b.Context(), doc.Campaign, doc.Epoch, keys[call*batch:(call+1)*batch])
					require.NoError(b, err)
				}
				took := stock.cpu(b) - started
				require.NoError(b, stock.client.Unlink(b.Context(), allKeys(doc)...).Err())
				return took
			}
			claim(seal)
			claim("")
			var sealed, unsealed time.Duration
			for b.Loop() {
				sealed += claim(seal)
				unsealed += claim("")
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(sealed.Microseconds())/float64(calls*b.N), "sealed-cpu-µs/call")
			b.ReportMetric(float64(unsealed.Microseconds())/float64(calls*b.N), "unsealed-cpu-µs/call")
			b.ReportMetric(sealed.Seconds()/unsealed.Seconds(), "sealed/unsealed")
		})
	}
}

// BenchmarkLook is one look of the warden at a thousand campaigns.
func BenchmarkLook(b *testing.B) {
	const campaigns = 1000
	stock := connect(b, testenv.PrivateRedis(b).URL)
	asked := make([]*coupon.Campaign, campaigns)
	for i := range asked {
		doc := newDocument(10)
		var err error
		doc.Seal, err = stock.Seal(b.Context(), doc.Campaign)
		require.NoError(b, err)
		stock.start(b, doc)
		stock.claimAll(b, doc, crowd("u", 5)...)
		asked[i] = recorded(doc)
	}
	before := stock.cpu(b)
	for b.Loop() {
		for _, health := range stock.Look(context.Background(), asked) {
			require.Equal(b, coupon.Sound, health.State)
		}
	}
	b.ReportMetric(milliseconds(stock.cpu(b)-before)/float64(b.N), "redis-cpu-ms/look")
}
