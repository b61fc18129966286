package worker

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// BenchmarkCampaignsSideBySide says how many rows a second a worker writes whose batches of 500 are spread over campaigns. The log costs
// nothing.
func BenchmarkCampaignsSideBySide(b *testing.B) {
	store, err := mysqlstore.Open(testenv.MySQL(b), mysqlstore.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = store.Close() })
	for _, campaigns := range []int{1, 50} {
		for _, lanes := range []int{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("campaigns=%d/lanes=%d", campaigns, lanes), func(b *testing.B) {
				const batch, records = 500, 10_000
				ids := make([]string, campaigns)
				for i := range ids {
					ids[i] = openOn(b, store, records*b.N)
				}
				config := Config{Batch: batch, Lanes: lanes, Patience: time.Minute, Drain: time.Minute, Now: time.Now}
				w := New(nil, store, config, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
				b.ResetTimer()
				for first := 0; first < records*b.N; first += batch {
					entries := make([]entry, batch)
					for i := range entries {
						serial := first + i
						c := coupon.Claim{
							Key:   coupon.Key{Campaign: ids[serial%campaigns], User: fmt.Sprintf("u-%016x", uint64(serial)*0x9e3779b97f4a7c15), N: 1},
							Epoch: 1, Serial: int64(serial + 1), ClaimedAt: time.Now(),
						}
						entries[i] = decode(kafkastream.Record{Topic: "claims", Offset: int64(serial), Value: event.Encode(c)})
					}
					require.NoError(b, w.settle(context.Background(), w.sort(entries)))
				}
				b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// openOn opens a campaign.
func openOn(tb testing.TB, store *mysqlstore.Store, limit int) string {
	tb.Helper()
	id := testenv.Campaign()
	require.NoError(tb, store.CreateCampaign(tb.Context(), coupon.Campaign{
		ID: id, Name: id, Limit: int64(limit), PerUserLimit: 1,
		StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
	}))
	campaign, err := store.BeginEpoch(tb.Context(), id, coupon.ModeRedis)
	require.NoError(tb, err)
	_, err = store.ActivateEpoch(tb.Context(), campaign.Document())
	require.NoError(tb, err)
	return id
}
