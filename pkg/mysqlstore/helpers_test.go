package mysqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that moves only when it is told to.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return noon.Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

type bundle struct {
	*Store
	tb    testing.TB
	dsn   string
	clock *clock
}

// setup gives a store on a database of its own.
func setup(tb testing.TB) *bundle {
	tb.Helper()
	b := &bundle{tb: tb, dsn: testenv.MySQL(tb), clock: &clock{}}
	b.Store = b.open(b.dsn)
	return b
}

func (b *bundle) open(dsn string) *Store {
	b.tb.Helper()
	s, err := Open(dsn, Options{Now: b.clock.now})
	require.NoError(b.tb, err)
	b.tb.Cleanup(func() { _ = s.Close() })
	return s
}

// with returns the DSN with one more parameter.
func (b *bundle) with(name, value string) string {
	b.tb.Helper()
	config, err := mysql.ParseDSN(b.dsn)
	require.NoError(b.tb, err)
	config.Params = map[string]string{name: value}
	return config.FormatDSN()
}

func draft(id string, limit int64) coupon.Campaign {
	return coupon.Campaign{
		ID: id, Name: "Winter 겨울", Limit: limit, PerUserLimit: 2,
		StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(time.Hour), StockDisplay: coupon.StockBand,
	}
}

// opened returns the document of a new campaign that takes claims.
func (b *bundle) opened(id string, limit int64) coupon.Document {
	b.tb.Helper()
	ctx := b.tb.Context()
	require.NoError(b.tb, b.CreateCampaign(ctx, draft(id, limit)))
	return b.reopened(id)
}

func (b *bundle) reopened(id string) coupon.Document {
	b.tb.Helper()
	campaign, err := b.BeginEpoch(b.tb.Context(), id, coupon.ModeRedis)
	require.NoError(b.tb, err)
	doc := campaign.Document()
	doc.Seal = "seal-" + fmt.Sprint(doc.Epoch)
	doc, err = b.ActivateEpoch(b.tb.Context(), doc)
	require.NoError(b.tb, err)
	return doc
}

// fence ends the current epoch the way the fence does before it begins the next one.
func (b *bundle) fence(id string) {
	b.tb.Helper()
	b.mustExec("UPDATE campaigns SET epoch_state = 'loading', epoch_since = NULL WHERE slug = ?", id)
}

func claimOf(campaign, user string, n int, epoch, serial int64) coupon.Claim {
	return coupon.Claim{
		Key: coupon.Key{Campaign: campaign, User: user, N: n}, Epoch: epoch, Serial: serial, ClaimedAt: noon,
	}
}

func delivery(c coupon.Claim) coupon.Delivery {
	return coupon.Delivery{Claim: c, Payload: []byte(c.EventKey()), Position: fmt.Sprintf("claims:0:%s", c.EventKey())}
}

func (b *bundle) issued(campaign string, deliveries ...coupon.Delivery) []coupon.Result {
	b.tb.Helper()
	results, err := b.Issue(b.tb.Context(), campaign, deliveries)
	require.NoError(b.tb, err)
	require.Len(b.tb, results, len(deliveries))
	return results
}

func outcomes(results []coupon.Result) []coupon.Outcome {
	list := make([]coupon.Outcome, len(results))
	for i, r := range results {
		list[i] = r.Outcome
	}
	return list
}

func (b *bundle) totals(campaign string) coupon.Totals {
	b.tb.Helper()
	totals, err := b.Totals(b.tb.Context(), campaign)
	require.NoError(b.tb, err)
	return totals
}

func (b *bundle) mustExec(statement string, args ...any) {
	b.tb.Helper()
	_, err := b.DB().ExecContext(b.tb.Context(), statement, args...)
	require.NoError(b.tb, err)
}

func scan[T any](b *bundle, query string, args ...any) T {
	b.tb.Helper()
	var v T
	require.NoError(b.tb, b.DB().QueryRowContext(b.tb.Context(), query, args...).Scan(&v))
	return v
}

func openPlain(tb testing.TB, config *mysql.Config) *sql.DB {
	tb.Helper()
	connector, err := mysql.NewConnector(config)
	require.NoError(tb, err)
	db := sql.OpenDB(connector)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// await waits until cond holds.
func await(tb testing.TB, cond func() bool) {
	tb.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			tb.Fatal("condition did not come true within 10 s")
		case <-tick.C:
		}
	}
}

// Coupon returns the coupon of a key, and false when there is none.
func (b *bundle) Coupon(ctx context.Context, key coupon.Key) (coupon.Coupon, bool, error) {
	found, err := b.CouponsOf(ctx, key.Campaign, []coupon.Key{key})
	if err != nil || len(found) == 0 {
		return coupon.Coupon{}, false, err
	}
	return found[0], true, nil
}
