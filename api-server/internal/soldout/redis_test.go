package soldout

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// timed notes how long the steps of a scan took.
type timed struct {
	*redisstock.Stock
	mu    sync.Mutex
	steps []time.Duration
}

func (s *timed) Holders(ctx context.Context, ref coupon.EpochRef, hi int64, cursor uint64) ([]coupon.Key, int64, uint64, error) {
	began := time.Now()
	page, total, next, err := s.Stock.Holders(ctx, ref, hi, cursor)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, time.Since(began))
	return page, total, next, err
}

// BenchmarkAMillionHolders loads a million holders of a real Redis, all of them, in 8 bytes each, and in steps that no claim
// waits long for.
func BenchmarkAMillionHolders(b *testing.B) {
	url := os.Getenv("REDIS_URL")
	require.NotEmpty(b, url, `eval "$(scripts/services.sh env)" sets it`)
	client, err := redisstock.NewClient(url)
	require.NoError(b, err)
	b.Cleanup(func() { _ = client.Close() })
	stock := &timed{Stock: redisstock.New(client)}
	doc := sellOut(b, stock.Stock, keys("h", 1_000_000))
	for b.Loop() {
		loader := NewLoader(stock, slog.New(slog.DiscardHandler))
		before := heap()
		found, err := loader.load(soldOut{coupon.EpochRef{Campaign: doc.Campaign, Epoch: doc.Epoch}, doc.Hi})
		require.NoError(b, err)
		b.ReportMetric(float64(heap()-before)/1e6, "bytes/holder")
		require.Len(b, found.hashes, 1_000_000)
		require.True(b, found.has(key("h77")))
		require.False(b, found.has(key("stranger")))
	}
	b.ReportMetric(float64(slices.Max(stock.steps).Microseconds()), "µs-slowest-step")
}

// sellOut opens an epoch that has these holders and no place for anybody else.
func sellOut(b *testing.B, stock *redisstock.Stock, holders []coupon.Key) coupon.Document {
	b.Helper()
	ctx := b.Context()
	doc := coupon.Document{
		Campaign: "b-" + strconv.FormatInt(time.Now().UnixNano(), 36), Version: 1, State: coupon.DocumentOpen, Epoch: 1, Lo: 1, Hi: 0, PerUserLimit: 1,
		OpensAt: time.Now().Add(-time.Hour), ClosesAt: time.Now().Add(time.Hour), Base: int64(len(holders)),
	}
	b.Cleanup(func() { _ = stock.Discard(context.Background(), doc.Campaign, 2) })
	var err error
	doc.Seal, err = stock.Seal(ctx, doc.Campaign)
	require.NoError(b, err)
	require.NoError(b, stock.Prepare(ctx, doc))
	claims := make([]coupon.Claim, len(holders))
	for i, k := range holders {
		claims[i] = coupon.Claim{Key: k, Serial: int64(i + 1), ClaimedAt: time.Now()}
	}
	require.NoError(b, stock.Load(ctx, coupon.EpochRef{Campaign: doc.Campaign, Epoch: 1}, claims, coupon.MarkIssued))
	require.NoError(b, stock.Open(ctx, doc))
	return doc
}
