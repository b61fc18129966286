package fence_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// drained is a log with nothing in it: what is measured is the closing and loading of epochs.
type drained struct{}

func (drained) Barrier(context.Context, string) ([]int64, error) { return []int64{1}, nil }
func (drained) Committed(context.Context) ([]int64, error)       { return []int64{1}, nil }
func (drained) Flush(context.Context, string, int64) error       { return nil }

// BenchmarkRebuild is one rebuild of an empty Redis, from F1 to F8: of one large campaign, and of many small ones.
func BenchmarkRebuild(b *testing.B) {
	for _, c := range []struct{ campaigns, rows int }{{1, 1_000_000}, {1000, 100}} {
		b.Run(fmt.Sprintf("campaigns=%d/rows=%d", c.campaigns, c.rows), func(b *testing.B) {
			store, err := mysqlstore.Open(testenv.MySQL(b), mysqlstore.Options{MaxConns: 12})
			require.NoError(b, err)
			defer func() { _ = store.Close() }()
			client, err := redisstock.NewClient(testenv.PrivateRedis(b).URL)
			require.NoError(b, err)
			defer func() { _ = client.Close() }()
			stock := redisstock.New(client)
			fill(b, store, stock, c.campaigns, c.rows)
			var members int
			f := fence.NewFence(store, stock, drained{}, drained{}, fence.Options{Now: time.Now, Loaded: func(int) {}})
			for b.Loop() {
				b.StopTimer()
				require.NoError(b, client.FlushAll(b.Context()).Err())
				campaigns, err := store.Watched(b.Context())
				require.NoError(b, err)
				b.StartTimer()
				require.NoError(b, f.Rebuild(b.Context(), campaigns, coupon.ModeRedis))
				b.StopTimer()
				requireSound(b, store, stock)
				members += c.campaigns * c.rows
				b.StartTimer()
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/rebuild")
			b.ReportMetric(float64(members)/b.Elapsed().Seconds(), "members/s")
		})
	}
}

// fill opens campaigns that are issued to the last place.
func fill(b *testing.B, store *mysqlstore.Store, stock *redisstock.Stock, campaigns, rows int) {
	b.Helper()
	for range campaigns {
		id := testenv.Campaign()
		require.NoError(b, store.CreateCampaign(b.Context(), coupon.Campaign{
			ID: id, Name: id, Limit: int64(rows), PerUserLimit: 1,
			StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
		}))
		require.NoError(b, fence.New(store, stock).Open(b.Context(), id))
	}
	const chunk = 10_000 // rows of one statement
	digits := "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4" +
		" UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
	for from := 1; from <= rows; from += chunk {
		_, err := store.DB().ExecContext(b.Context(), `INSERT INTO coupons
			(campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at)
			SELECT c.id, x.serial, CONCAT('user-', x.serial), 1, 1, LPAD(x.serial, 19, 'A'), NOW(6), NOW(6)
			FROM (SELECT ? + a.d + 10 * b.d + 100 * c.d + 1000 * d.d AS serial
			FROM `+digits+` a, `+digits+` b, `+digits+` c, `+digits+` d HAVING serial <= ?) x JOIN campaigns c`, from, rows)
		require.NoError(b, err)
	}
	_, err := store.DB().ExecContext(b.Context(), "UPDATE campaigns SET issued = limit_count")
	require.NoError(b, err)
}

func requireSound(b *testing.B, store *mysqlstore.Store, stock *redisstock.Stock) {
	b.Helper()
	campaigns, err := store.Watched(b.Context())
	require.NoError(b, err)
	all := make([]*coupon.Campaign, len(campaigns))
	for i := range all {
		all[i] = &campaigns[i]
	}
	for i, health := range stock.Look(b.Context(), all) {
		require.Equal(b, coupon.Sound, health.State, health.Why)
		require.Equal(b, campaigns[i].Issued, campaigns[i].Base)
	}
}
