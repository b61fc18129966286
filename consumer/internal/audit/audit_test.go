package audit

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// bench is an audit of a record that says what the test wants.
type bench struct {
	t        *testing.T
	now      time.Time
	registry *prometheus.Registry
	audit    *Audit

	silence error // of every call
	counts  mysqlstore.FailureCounts
	broken  []coupon.Claim
	watched []coupon.Campaign
	over    map[string]int64
	takes   time.Duration // of counting one campaign
	asked   []string      // about which campaigns
	last    map[string]time.Time
	lost    int64
	rounds  atomic.Int64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, now: noon, registry: prometheus.NewRegistry()}
	b.audit = New(b, NewMetrics(b.registry), func() time.Time { return b.now }, slog.New(slog.DiscardHandler))
	return b
}

func (b *bench) CountFailures(context.Context) (mysqlstore.FailureCounts, error) {
	b.rounds.Add(1)
	return b.counts, b.silence
}

func (b *bench) BrokenPromises(context.Context) ([]coupon.Claim, error) { return b.broken, b.silence }

func (b *bench) Watched(context.Context) ([]coupon.Campaign, error) { return b.watched, b.silence }
func (b *bench) LostClaims(context.Context) (int64, error)          { return b.lost, b.silence }

func (b *bench) LastSuccesses(context.Context) (map[string]time.Time, error) {
	return b.last, b.silence
}

func (b *bench) Oversold(_ context.Context, campaign string) (int64, error) {
	b.now = b.now.Add(b.takes)
	b.asked = append(b.asked, campaign)
	return b.over[campaign], b.silence
}

// look makes a round and returns the series of a metric, as they are scraped.
func (b *bench) look(metric string) (series []string) {
	b.t.Helper()
	b.audit.look(b.t.Context())
	page := httptest.NewRecorder()
	promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, metric) {
			series = append(series, strings.TrimSpace(line))
		}
	}
	return series
}

var errSilent = errors.New("no database")

func TestFailedEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.counts.ByStatus = map[coupon.FailureStatus]int64{coupon.FailureParked: 2, coupon.FailurePending: 0}
	require.Equal(t, []string{
		"coupon_failed_event_oldest_age_seconds 0",
		`coupon_failed_events{status="parked"} 2`, `coupon_failed_events{status="pending"} 0`,
	}, b.look("coupon_failed_event"))

	b.counts.ByStatus = map[coupon.FailureStatus]int64{coupon.FailureParked: 0, coupon.FailurePending: 1}
	b.counts.Waiting = noon.Add(-90 * time.Second)
	require.Equal(t, []string{
		"coupon_failed_event_oldest_age_seconds 90",
		`coupon_failed_events{status="parked"} 0`, `coupon_failed_events{status="pending"} 1`,
	}, b.look("coupon_failed_event"))

	b.counts.Waiting = noon.Add(time.Second) // another machine's clock
	require.Contains(t, b.look("coupon_failed_event_"), "coupon_failed_event_oldest_age_seconds 0")

	b.silence = errSilent
	require.Empty(t, b.look("coupon_failed_event"), "an old number would be a lie")
}

func TestEveryBrokenPromiseCountsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	claim := func(user string, serial int64) coupon.Claim {
		return coupon.Claim{Key: coupon.Key{Campaign: "c", User: user, N: 1}, Epoch: 1, Serial: serial}
	}
	expect := func(total string) {
		t.Helper()
		require.Equal(t, []string{"coupon_promises_broken_total " + total}, b.look("coupon_promises_broken_total"))
	}
	expect("0")
	b.broken = []coupon.Claim{claim("a", 1)}
	expect("1")
	b.broken = []coupon.Claim{claim("a", 1), claim("b", 2)}
	expect("2")
	b.broken = nil // mended
	expect("2")
	b.broken = []coupon.Claim{claim("a", 1)} // and back
	expect("2")
	b.lost = 3
	expect("5")
	b.lost = 1 // two were published again
	expect("5")
	b.lost = 2
	expect("6")
	b.silence = errSilent
	expect("6")
}

func TestOversoldCampaigns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	open := func(id string) coupon.Campaign { return coupon.Campaign{ID: id, Status: coupon.CampaignActive} }
	b.watched = []coupon.Campaign{open("a"), open("b"), {ID: "c", Status: coupon.CampaignPaused}, {ID: "d", Status: coupon.CampaignClosed}}
	b.over = map[string]int64{"b": 7}
	require.Equal(t, []string{
		`coupon_oversold{campaign="a"} 0`, `coupon_oversold{campaign="b"} 7`, `coupon_oversold{campaign="c"} 0`,
	}, b.look("coupon_oversold"))

	b.watched[1].Status = coupon.CampaignClosed
	require.Equal(t, []string{`coupon_oversold{campaign="a"} 0`, `coupon_oversold{campaign="c"} 0`}, b.look("coupon_oversold"))

	b.silence = errSilent
	require.Empty(t, b.look("coupon_oversold"))
}

// However many rows there are, a round counts for a second and no more, every campaign has its turn, and is left alone for
// a hundred times as long as it took.
func TestCountingRowsHasABudget(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.takes = 600 * time.Millisecond
	for _, id := range []string{"a", "b", "c"} {
		b.watched = append(b.watched, coupon.Campaign{ID: id, Status: coupon.CampaignActive})
	}
	for range 4 { // 64 s, and what the counting takes
		b.look("coupon_oversold")
		b.now = b.now.Add(every + time.Second)
	}
	require.Equal(t, []string{"a", "b", "c"}, b.asked)
	b.look("coupon_oversold")
	require.Equal(t, []string{"a", "b", "c", "a", "b"}, b.asked)
}

func TestLastSuccessOfBatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const metric = "coupon_batch_last_success_timestamp_seconds"
	b.last = map[string]time.Time{"sweep": time.Unix(1_700_000_000, 250_000_000), "reconcile": {}}
	want := []string{metric + `{job="reconcile"} 0`, metric + `{job="sweep"} 1.70000000025e+09`}
	require.Equal(t, want, b.look(metric))
	b.last = map[string]time.Time{"sweep": {}} // only failures are recent
	require.Equal(t, want, b.look(metric), "the success was one all the same")
	b.last = map[string]time.Time{"sweep": time.Unix(1_700_000_060, 0)}
	require.Equal(t, []string{want[0], metric + `{job="sweep"} 1.70000006e+09`}, b.look(metric))
	b.silence, b.last = errSilent, nil
	require.Equal(t, []string{want[0], metric + `{job="sweep"} 1.70000006e+09`}, b.look(metric))
}

func TestRunLooksAtOnceAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.audit.Run(ctx) }()
		synctest.Wait()
		require.EqualValues(t, 1, b.rounds.Load())
		time.Sleep(every) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		require.EqualValues(t, 2, b.rounds.Load())
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}
