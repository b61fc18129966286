package retryfailed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// bundle is a store on a database of its own, with a clock that moves only when it is told to.
type bundle struct {
	*mysqlstore.Store
	tb     testing.TB
	offset atomic.Int64
}

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func (b *bundle) now() time.Time          { return noon.Add(time.Duration(b.offset.Load())) }
func (b *bundle) advance(d time.Duration) { b.offset.Add(int64(d)) }

func setup(t *testing.T) *bundle {
	t.Helper()
	config, err := mysql.ParseDSN(testenv.MySQL(t))
	require.NoError(t, err)
	config.Params = map[string]string{"innodb_lock_wait_timeout": "1"}
	b := &bundle{tb: t}
	b.Store, err = mysqlstore.Open(config.FormatDSN(), mysqlstore.Options{Now: b.now})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// job retries without jitter: an event that is put back after its first try is due exactly 10 s later.
func (b *bundle) job() *Job { return b.jobOver(b.Store) }

func (b *bundle) jobOver(issuer issuer) *Job {
	return New(b.Store, issuer, Options{
		Now: b.now, Jitter: func() float64 { return 0 }, Random: rand.Reader, Progress: func(int) {},
		Logger: slog.New(slog.DiscardHandler),
	})
}

func (b *bundle) run() Result {
	b.tb.Helper()
	result, err := b.job().RunOnce(b.tb.Context())
	require.NoError(b.tb, err)
	return result
}

// open opens a campaign with limit places.
func (b *bundle) open(id string, limit int64) string {
	b.tb.Helper()
	ctx := b.tb.Context()
	require.NoError(b.tb, b.CreateCampaign(ctx, coupon.Campaign{
		ID: id, Name: id, Limit: limit, PerUserLimit: 1, StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(time.Hour),
	}))
	campaign, err := b.BeginEpoch(ctx, id, coupon.ModeRedis)
	require.NoError(b.tb, err)
	_, err = b.ActivateEpoch(ctx, campaign.Document())
	require.NoError(b.tb, err)
	return id
}

// fail keeps the first size claims of a campaign as failed events that are due.
func (b *bundle) fail(campaign string, size int) {
	b.tb.Helper()
	events := make([]coupon.FailedEvent, size)
	for i := range events {
		claim := coupon.Claim{
			Key: coupon.Key{Campaign: campaign, User: fmt.Sprintf("u%d", i), N: 1}, Epoch: 1, Serial: int64(i + 1), ClaimedAt: noon,
		}
		events[i] = coupon.FailedEvent{
			Campaign: campaign, Epoch: 1, Claim: claim, Payload: []byte(claim.EventKey()),
			Reason: coupon.ReasonTransientExhausted, Status: coupon.FailurePending,
		}
	}
	require.NoError(b.tb, b.Park(b.tb.Context(), events))
}

func (b *bundle) totals(campaign string) coupon.Totals {
	b.tb.Helper()
	totals, err := b.Totals(b.tb.Context(), campaign)
	require.NoError(b.tb, err)
	return totals
}

func (b *bundle) exec(statement string, args ...any) {
	b.tb.Helper()
	_, err := b.DB().ExecContext(b.tb.Context(), statement, args...)
	require.NoError(b.tb, err)
}

func (b *bundle) count(condition string, args ...any) (n int) {
	b.tb.Helper()
	row := b.DB().QueryRowContext(b.tb.Context(), "SELECT COUNT(*) FROM failed_events WHERE "+condition, args...)
	require.NoError(b.tb, row.Scan(&n))
	return n
}

// lock holds a campaign's row until the returned function is called.
func (b *bundle) lock(campaign string) (unlock func()) {
	b.tb.Helper()
	tx, err := b.DB().BeginTx(context.Background(), nil)
	require.NoError(b.tb, err)
	_, err = tx.ExecContext(b.tb.Context(), "SELECT id FROM campaigns WHERE slug = ? FOR UPDATE", campaign)
	require.NoError(b.tb, err)
	return sync.OnceFunc(func() { require.NoError(b.tb, tx.Rollback()) })
}

func TestEveryDueEventBecomesARow(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, page, 2*page + 50} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.fail(b.open("drop", int64(size)), size)

			result := b.run()

			require.True(t, result.OK())
			require.Equal(t, Result{Taken: size, Outcomes: map[string]int{"issued": size}}, result)
			totals := b.totals("drop")
			require.EqualValues(t, size, totals.Rows)
			require.EqualValues(t, size, totals.Issued)
			require.Equal(t, map[coupon.FailureStatus]int64{coupon.FailureDone: int64(size)}, totals.Failed)
			require.Zero(t, b.run().Taken, "a second run has nothing to do")
		})
	}
}

func TestOverlappingRunsIssueEachEventOnce(t *testing.T) {
	t.Parallel()
	const size = 5 * page
	b := setup(t)
	b.fail(b.open("drop", size), size)

	var results [2]Result
	var errs [2]error
	var both sync.WaitGroup
	for i := range results {
		both.Go(func() { results[i], errs[i] = b.job().RunOnce(t.Context()) })
	}
	both.Wait()

	require.NoError(t, errors.Join(errs[:]...))
	require.Equal(t, size, results[0].Taken+results[1].Taken, "an event has one taker")
	require.Equal(t, size, results[0].Outcomes["issued"]+results[1].Outcomes["issued"])
	require.EqualValues(t, size, b.totals("drop").Rows)
	require.Equal(t, size, b.count("status = 'done'"))
}

func TestALockedCampaignIsPostponedAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	const stuck, free = 2*page + 10, 30
	b := setup(t)
	b.fail(b.open("a-locked", stuck), stuck)
	b.fail(b.open("b-free", free), free)
	unlock := b.lock("a-locked")
	defer unlock()

	result := b.run()

	require.False(t, result.OK(), "somebody must look at it")
	require.Equal(t, Result{Taken: stuck + free, Outcomes: map[string]int{"issued": free}, Postponed: stuck}, result)
	require.EqualValues(t, free, b.totals("b-free").Rows)
	require.Equal(t, stuck, b.count("status = 'pending' AND next_attempt_at > ?", b.now()), "put back, not lost")
	require.Equal(t, page, b.count("attempts = 1"), "the campaign was asked once, with one page")
	require.Equal(t, stuck-page, b.count("status = 'pending' AND attempts = 0"), "what was not tried keeps its attempts")

	require.Zero(t, b.run().Taken, "nothing is due yet")
	unlock()
	b.advance(10 * time.Second)
	require.Equal(t, map[string]int{"issued": stuck}, b.run().Outcomes)
	require.EqualValues(t, stuck, b.totals("a-locked").Rows)
}

func TestAnEventIsParkedAfterTwelveAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fail(b.open("drop", 2), 2)
	b.exec("UPDATE campaigns SET limit_count = 1")
	require.Equal(t, Result{Taken: 2, Outcomes: map[string]int{"issued": 1}, Postponed: 1}, b.run())

	for attempt := 2; attempt < coupon.MaxAttempts; attempt++ {
		require.Zero(t, b.run().Taken, "attempt %d is not due", attempt)
		b.advance(time.Hour)
		require.Equal(t, Result{Taken: 1, Outcomes: map[string]int{}, Postponed: 1}, b.run(), "attempt %d", attempt)
	}
	b.advance(time.Hour)
	result := b.run()

	require.Equal(t, Result{Taken: 1, Outcomes: map[string]int{}, Parked: 1}, result)
	require.False(t, result.OK())
	require.Equal(t, 1, b.count("status = 'parked' AND attempts = 12 AND error <> ''"))
	b.advance(24 * time.Hour)
	require.Zero(t, b.run().Taken, "a parked event is an operator's")
}

func TestAKilledRunKeepsItsEventsNoLongerThanItsLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fail(b.open("drop", 5), 5)
	taken, err := b.TakeFailures(t.Context(), "killed", page, lease)
	require.NoError(t, err)
	require.Len(t, taken, 5)

	require.Zero(t, b.run().Taken)
	b.advance(lease)
	require.Equal(t, map[string]int{"issued": 5}, b.run().Outcomes)
}

func TestARunThatIsEndedCountsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fail(b.open("drop", 5), 5)
	ctx, cancel := context.WithCancel(t.Context())
	cutting := issueFunc(func(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error) {
		cancel()
		return b.Issue(ctx, campaign, deliveries)
	})

	result, err := b.jobOver(cutting).RunOnce(ctx)

	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 5, result.Lost)
	b.advance(lease)
	require.Equal(t, map[string]int{"issued": 5}, b.run().Outcomes)
	require.Equal(t, 5, b.count("attempts = 0"))
}

// issueFunc is issue() with something in its way.
type issueFunc func(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error)

func (f issueFunc) Issue(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error) {
	return f(ctx, campaign, deliveries)
}

func TestOneBadEventDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	const size, bad = 40, "u7"
	b := setup(t)
	b.fail(b.open("drop", size), size)
	refusing := issueFunc(func(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error) {
		if slices.ContainsFunc(deliveries, func(d coupon.Delivery) bool { return d.Claim.User == bad }) {
			return nil, errors.New("cannot be understood")
		}
		return b.Issue(ctx, campaign, deliveries)
	})

	result, err := b.jobOver(refusing).RunOnce(t.Context())

	require.NoError(t, err)
	require.Equal(t, Result{Taken: size, Outcomes: map[string]int{"issued": size - 1}, Postponed: 1}, result)
	require.Equal(t, 1, b.count("user_id = ? AND status = 'pending' AND attempts = 1 AND error = 'cannot be understood'", bad))
}

func TestADeadEventIsNews(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fail(b.open("drop", 2), 3) // the third serial lies outside the epoch

	result := b.run()

	require.Equal(t, map[string]int{"issued": 2, "dead": 1}, result.Outcomes)
	require.False(t, result.OK())
	require.Equal(t, "taken 3, dead 1, issued 2, postponed 0, parked 0", result.Summary())
}

func TestTheQueueNotAnsweringIsAnError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Close())

	_, err := b.job().RunOnce(t.Context())

	require.Error(t, err)
}

// Events that are due again before the run has come through the queue must not keep it going.
func TestARunEndsHoweverSoonEventsAreDueAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fail(b.open("drop", page), page)
	away := issueFunc(func(context.Context, string, []coupon.Delivery) ([]coupon.Result, error) {
		return nil, coupon.Unavailable("stuck", nil)
	})
	job := b.jobOver(away)
	job.Progress = func(int) { b.advance(time.Hour) }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	result, err := job.RunOnce(ctx)

	require.NoError(t, err)
	require.Equal(t, Result{Taken: 2 * page, Outcomes: map[string]int{}, Postponed: 2 * page}, result)
	require.Equal(t, page, b.count("attempts = 1"), "the second look was no try")
}
