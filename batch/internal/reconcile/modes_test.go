package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/outbox"
)

// drained is a log in which nothing is left to read.
type drained struct{}

func (drained) Barrier(context.Context, string) ([]int64, error) { return nil, nil }
func (drained) Committed(context.Context) ([]int64, error)       { return nil, nil }

func (b *bundle) fencer() *fence.Fence {
	b.tb.Helper()
	producer := kafkastream.NewProducer(b.kafka, b.topic, 100)
	b.tb.Cleanup(func() { _ = producer.Close(context.Background()) })
	return fence.NewFence(b.store, b.stock, drained{}, outbox.New(b.stock, producer), fence.Options{
		Now: time.Now, Loaded: func(int) {},
	})
}

func (b *bundle) rebuild(mode coupon.Mode) {
	b.tb.Helper()
	c, err := b.store.Campaign(b.tb.Context(), b.campaign)
	require.NoError(b.tb, err)
	require.NoError(b.tb, b.fencer().Rebuild(b.tb.Context(), []coupon.Campaign{c}, mode))
}

// buy sells places in mode sql.
func (b *bundle) buy(epoch int64, users ...string) {
	b.tb.Helper()
	wishes := make([]coupon.Claim, len(users))
	for i, user := range users {
		wishes[i].Key = coupon.Key{Campaign: b.campaign, User: user, N: 1}
	}
	settled, err := b.store.Direct(b.tb.Context(), b.campaign, epoch, wishes)
	require.NoError(b.tb, err)
	for _, s := range settled {
		require.Equal(b.tb, coupon.Granted, s.Verdict)
	}
}

func (b *bundle) one(result Result) Campaign {
	b.tb.Helper()
	require.Len(b.tb, result.Campaigns, 1)
	return result.Campaigns[0]
}

func TestModeSQL(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	b.park(b.claim(3, 1)[0])
	b.rebuild(coupon.ModeSQL)
	require.NoError(t, b.client.Del(t.Context(), b.key("meta")).Err()) // Redis is not asked
	b.buy(2, "s1", "s2")

	c := b.one(b.run(0))
	require.Equal(t, Equal, c.Verdict, c)
	require.Nil(t, c.Redis)
	require.Equal(t, []int64{5, 1, 1, 4}, []int64{c.Rows, c.Live, c.Carried, *c.Unsold})

	b.exec("UPDATE campaigns SET hi = hi - 1")
	require.Equal(t, []string{"places_lost"}, codes(b.one(b.run(0)).Differences))
	b.exec("UPDATE campaigns SET hi = hi + 3")
	require.Equal(t, []string{"epoch_range", "places_twice"}, codes(b.one(b.run(0)).Differences))
	b.exec("UPDATE campaigns SET hi = hi - 2, next_serial = next_serial - 1")
	result := b.run(0)
	require.Equal(t, []string{"rows_serial", "places_twice"}, codes(b.one(result).Differences))
	require.Contains(t, result.words(), b.campaign+": claim: user s2, n 1, serial 13 in MySQL: row_serial: ")
}

func TestAnEpochAfterAnother(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	b.park(b.claim(3, 1)[0])
	b.rebuild(coupon.ModeRedis)

	c := b.one(b.run(0))
	require.Equal(t, Equal, c.Verdict, c)
	require.Equal(t, []int64{2, 1, 1, 6, 4}, []int64{c.Epoch, c.Live, c.Carried, *c.Unsold, c.Redis.Members})

	late := coupon.Claim{Key: coupon.Key{Campaign: b.campaign, User: "late", N: 1}, Epoch: 1, Serial: 5, ClaimedAt: time.Now()}
	b.park(late) // it was no promise
	c = b.one(b.run(0))
	require.Equal(t, Equal, c.Verdict, c)
	require.EqualValues(t, 1, c.Live)
}

func TestCancelledCouponsAreInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.exec("UPDATE campaigns SET restock_on_cancel = 1")
	b.sold(0, 3)
	_, _, err := b.store.Cancel(t.Context(), coupon.Key{Campaign: b.campaign, User: "u1", N: 1}, "")
	require.NoError(t, err)

	c := b.one(b.run(0))
	require.Equal(t, []string{"raise_open"}, codes(c.InFlight))
	require.Empty(t, c.Differences)
	require.Equal(t, []int64{2, 3, 1, 8}, []int64{c.Issued, c.Rows, c.Returned, *c.Unsold})

	_, err = b.store.SetStatus(t.Context(), b.campaign, coupon.CampaignClosed)
	require.NoError(t, err)
	closed, err := b.store.Campaign(t.Context(), b.campaign)
	require.NoError(t, err)
	_, err = b.stock.Push(t.Context(), closed.Document())
	require.NoError(t, err)
	require.Equal(t, Equal, b.one(b.run(0)).Verdict, "a closed campaign's raise is nobody's work")
}

func TestARetiredCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	_, err := b.store.SetStatus(t.Context(), b.campaign, coupon.CampaignClosed)
	require.NoError(t, err)
	b.rebuild(coupon.ModeRedis)

	c := b.one(b.run(0))
	require.Equal(t, Equal, c.Verdict, c)
	require.Equal(t, coupon.EpochClosed, c.EpochState)
	require.Nil(t, c.Redis)
	b.exec("UPDATE campaigns SET issued = 2")
	require.Equal(t, []string{"rows_issued"}, codes(b.one(b.run(0)).Differences))
}

// An epoch that ends while the stores are being asked is asked about anew.
func TestAFenceMeanwhileIsNoDifference(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, mode := range []coupon.Mode{coupon.ModeSQL, coupon.ModeRedis} {
			b.rebuild(mode)
		}
	}()
	job := b.job(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		result, err := job.RunOnce(t.Context())
		require.NoError(t, err)
		require.True(t, result.OK(), result.words())
	}
	require.Equal(t, Equal, b.one(b.run(0)).Verdict)
}
