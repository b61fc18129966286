package warden

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

var errAway = errors.New("away")

// site is everything around wardens. What they did is told by calls.
type site struct {
	mu        sync.Mutex
	campaigns []coupon.Campaign
	health    coupon.HealthState
	logAway   bool
	leader    *lead
	lifted    bool
	calls     []string
	onRebuild func(ctx context.Context) error
}

type lead struct{ site *site }

func (l *lead) Held(context.Context) error {
	l.site.mu.Lock()
	defer l.site.mu.Unlock()
	if l.site.leader != l {
		return coupon.Unavailable("another warden leads", nil)
	}
	return nil
}

func (l *lead) Release() {
	l.site.mu.Lock()
	defer l.site.mu.Unlock()
	if l.site.leader == l {
		l.site.leader = nil
	}
}

func (s *site) Watched(context.Context) ([]coupon.Campaign, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.campaigns == nil {
		return nil, errAway
	}
	return slices.Clone(s.campaigns), nil
}

func (s *site) Look(_ context.Context, campaigns []*coupon.Campaign) []coupon.Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	healths := make([]coupon.Health, len(campaigns))
	for i := range healths {
		healths[i] = coupon.Health{State: s.health, Why: "as told"}
	}
	s.calls = append(s.calls, "look")
	return healths
}

func (s *site) Ping(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logAway {
		return errAway
	}
	return nil
}

func (s *site) Lift(lifted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifted = lifted
}

func (s *site) isLifted() (lifted bool) {
	s.set(func() { lifted = s.lifted })
	return lifted
}

func (s *site) Open(_ context.Context, c coupon.Campaign) error {
	s.call("open " + c.ID)
	s.set(func() { s.health = coupon.Sound })
	return nil
}

// Rebuild makes everything sound in the next epoch.
func (s *site) Rebuild(ctx context.Context, campaigns []coupon.Campaign, mode coupon.Mode) error {
	var ids []string
	for _, c := range campaigns {
		ids = append(ids, c.ID)
	}
	s.call("rebuild " + strings.Join(ids, "+") + " " + string(mode))
	if s.onRebuild != nil {
		if err := s.onRebuild(ctx); err != nil {
			return err
		}
	}
	s.set(func() {
		for i := range s.campaigns {
			s.campaigns[i].Epoch++
			s.campaigns[i].EpochState, s.campaigns[i].Mode = coupon.EpochActive, mode
		}
		if mode == coupon.ModeRedis {
			s.health = coupon.Sound
		}
	})
	return nil
}

func (s *site) call(name string) { s.set(func() { s.calls = append(s.calls, name) }) }

func (s *site) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// did returns the calls but looks.
func (s *site) did() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(c string) bool { return c == "look" })
}

func (s *site) looks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls) - len(slices.DeleteFunc(slices.Clone(s.calls), func(c string) bool { return c == "look" }))
}

// run starts a warden and returns its metrics and what ends it.
func (s *site) run(t *testing.T) (*Metrics, func()) {
	ctx, cancel := context.WithCancel(t.Context())
	metrics := NewMetrics(prometheus.NewRegistry())
	w := New(Parts{
		Record: s, Stock: s, Fence: s, Log: s, Pace: s, Now: time.Now, Metrics: metrics, Logger: slog.New(slog.DiscardHandler),
		Lead: func(context.Context) (Lead, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.leader != nil {
				return nil, coupon.Unavailable("another warden leads", nil)
			}
			s.leader = &lead{s}
			return s.leader, nil
		},
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Run(ctx)
	}()
	return metrics, func() {
		cancel()
		<-ended
	}
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func campaignsOf(ids ...string) (campaigns []coupon.Campaign) {
	for _, id := range ids {
		campaigns = append(campaigns, coupon.Campaign{
			ID: id, Status: coupon.CampaignActive, Epoch: 1, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis,
		})
	}
	return campaigns
}

func TestALostRedisIsRebuiltAtOnceAndWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a", "b", "c"), health: coupon.Sound}
		metrics, end := s.run(t)
		defer end()
		pass(time.Minute)
		require.Empty(t, s.did())

		s.set(func() { s.health = coupon.Lost })
		pass(every)
		require.Equal(t, []string{"rebuild a+b+c redis"}, s.did(), "one fence for all")
		require.InDelta(t, 3, testutil.ToFloat64(metrics.breaks), 0)
		pass(time.Minute)
		require.Len(t, s.did(), 1)
		require.Equal(t, 1, testutil.CollectAndCount(metrics.fences))
		require.InDelta(t, 2, testutil.ToFloat64(metrics.epoch.WithLabelValues("b")), 0)
	})
}

func TestIntoModeSQLAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Unreachable}
		_, end := s.run(t)
		defer end()
		pass(4900 * time.Millisecond)
		require.Empty(t, s.did())
		pass(every)
		require.Equal(t, []string{"rebuild a sql"}, s.did())
		pass(time.Hour)

		flap := func(away, back time.Duration) {
			s.set(func() { s.health = coupon.Unreachable })
			pass(away)
			s.set(func() { s.health = coupon.Lost })
			pass(back)
		}
		flap(time.Second, 9*time.Second)
		require.Len(t, s.did(), 1)
		flap(time.Second, 11*time.Second)
		require.Equal(t, "rebuild a redis", s.did()[1])
		flap(6*time.Second, 20*time.Second)
		require.Equal(t, []string{"rebuild a sql"}, s.did()[2:], "it came back less than a minute ago")
		pass(time.Minute)
		require.Equal(t, []string{"rebuild a sql", "rebuild a redis"}, s.did()[2:])
	})
}

func TestWithoutTheLogNoFenceBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Lost, logAway: true}
		_, end := s.run(t)
		defer end()
		pass(time.Minute)
		require.Empty(t, s.did())
		s.set(func() { s.campaigns[0].EpochState = coupon.EpochLoading })
		pass(20 * time.Second)
		require.Equal(t, []string{"rebuild a redis"}, s.did(), "the log of a loading is drained already")
		s.set(func() { s.logAway, s.health = false, coupon.Lost })
		pass(every)
		require.Len(t, s.did(), 2)
	})
}

func TestAnUnopenedEpochIsOpenedAfterAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Unopened}
		_, end := s.run(t)
		defer end()
		pass(1900 * time.Millisecond)
		require.Empty(t, s.did())
		pass(every)
		require.Equal(t, []string{"open a"}, s.did())
	})
}

func TestALongDrainKeepsNobodyFromWatching(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Lost}
		s.onRebuild = func(ctx context.Context) error {
			s.set(func() { s.campaigns[0].EpochState = coupon.EpochFencing })
			select {
			case <-time.After(10 * time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		_, end := s.run(t)
		defer end()
		pass(time.Minute)
		require.Len(t, s.did(), 1, "one fence at a time")
		require.Greater(t, s.looks(), 100)
		require.True(t, s.isLifted(), "every consumer works as fast as it can")
		pass(10 * time.Minute)
		require.False(t, s.isLifted())
	})
}

func TestAFailingFenceIsTriedAgainAndNotAllTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Lost}
		s.onRebuild = func(context.Context) error { return errAway }
		_, end := s.run(t)
		defer end()
		pass(time.Minute)
		require.Greater(t, len(s.did()), 15)
		require.LessOrEqual(t, len(s.did()), 30)
	})
}

func TestOneOfTwoWardensLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Lost}
		cancelled := make(chan struct{}, 1)
		s.onRebuild = func(ctx context.Context) error {
			s.set(func() { s.campaigns[0].EpochState = coupon.EpochFencing })
			<-ctx.Done()
			cancelled <- struct{}{}
			return ctx.Err()
		}
		_, endFirst := s.run(t)
		pass(every)
		_, endSecond := s.run(t)
		defer endSecond()
		pass(time.Minute)
		require.Len(t, s.did(), 1)

		s.set(func() { s.leader = nil }) // the server ended the leader's connection
		pass(2 * every)
		require.Len(t, cancelled, 1, "who does not lead does not fence")
		<-cancelled
		require.Equal(t, []string{"rebuild a redis", "rebuild a redis"}, s.did(), "whoever leads goes on at once")

		endFirst()
	})
}

func TestARecordThatIsAwayStopsNothingForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{health: coupon.Lost}
		_, end := s.run(t)
		defer end()
		pass(time.Minute)
		require.Zero(t, s.looks())
		s.set(func() { s.campaigns = campaignsOf("a") })
		pass(every)
		require.Equal(t, []string{"rebuild a redis"}, s.did())
	})
}

func TestSeriesOfAClosedCampaignAreDropped(t *testing.T) {
	t.Parallel()
	m := NewMetrics(prometheus.NewRegistry())
	all := campaignsOf("a", "b", "c")
	m.show(all)
	require.Equal(t, 3, testutil.CollectAndCount(m.state))
	all[0].EpochState = coupon.EpochFencing
	all[1].Status = coupon.CampaignClosed
	m.show(all[:2])
	require.Equal(t, 1, testutil.CollectAndCount(m.epoch))
	require.Equal(t, 1, testutil.CollectAndCount(m.state))
	require.InDelta(t, 1, testutil.ToFloat64(m.state.WithLabelValues("a", string(coupon.EpochFencing))), 0)
}
