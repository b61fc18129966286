package warden

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

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

// A Redis that answers and cannot be loaded is an outage of Redis: MySQL and the log are fine.
func TestARedisThatCannotBeLoadedIsAnOutageOfRedis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Lost}
		s.campaigns[0].Mode = coupon.ModeSQL // it is served, until the warden thinks that Redis is back
		s.onRebuild = func(_ context.Context, mode coupon.Mode) error {
			if mode == coupon.ModeSQL {
				return nil
			}
			s.set(func() {
				s.campaigns[0].Epoch++
				s.campaigns[0].EpochState, s.campaigns[0].Mode = coupon.EpochLoading, coupon.ModeRedis
			})
			return errAway
		}
		_, end := s.run(t)
		defer end()
		pass(30 * time.Second)
		require.Equal(t, []string{"rebuild a redis", "rebuild a sql"}, s.did(), "one loading that failed is enough")
		pass(40 * time.Second)
		require.Len(t, s.did(), 2, "calm")
		pass(time.Hour)
		require.Greater(t, len(s.did()), 10)
		require.Less(t, len(s.did()), 25, "each attempt costs users more than 10 s")
	})
}

func TestAnEpochThatCannotBeOpenedGoesToModeSQL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Unopened, unopenable: true}
		_, end := s.run(t)
		defer end()
		pass(20 * time.Second)
		did := s.did()
		require.Equal(t, "rebuild a sql", did[len(did)-1])
		require.NotContains(t, did[:len(did)-1], "rebuild a sql")
	})
}

// A claim state that is lost again and again, by eviction say, must not be fenced every few seconds for ever.
func TestAClaimStateThatIsLostAgainAndAgainIsNoStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Lost, takes: 2 * time.Second}
		s.onRebuild = func(context.Context, coupon.Mode) error {
			time.AfterFunc(time.Second, func() { s.set(func() { s.health = coupon.Lost }) })
			return nil
		}
		_, end := s.run(t)
		defer end()
		pass(30 * time.Second)
		require.Equal(t, []string{"rebuild a redis", "rebuild a redis", "rebuild a sql"}, s.did())
		pass(10 * time.Minute)
		require.LessOrEqual(t, len(s.did()), 20, "fences in 10 minutes")
		require.Contains(t, s.did()[3:], "rebuild a redis", "it is tried again")
	})
}

func TestFewComeBackAtOnceAndTheLostGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf(strings.Split("abcdefghijklmnopqrst", "")...), health: coupon.Lost}
		for i := range s.campaigns[:17] {
			s.campaigns[i].Mode = coupon.ModeSQL
		}
		s.logAway = true
		_, end := s.run(t)
		defer end()
		pass(20 * time.Second)
		s.set(func() { s.logAway = false })
		pass(20 * time.Second)
		require.Equal(t, []string{
			"rebuild a+b+c+d+e+r+s+t redis", "rebuild f+g+h+i+j+k+l+m redis", "rebuild n+o+p+q redis",
		}, s.did())
	})
}

func TestAJobForARedisThatIsGoneIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Lost, takes: time.Hour}
		_, end := s.run(t)
		defer end()
		pass(time.Minute)
		require.Equal(t, []string{"rebuild a redis"}, s.did())
		s.set(func() { s.health, s.takes = coupon.Unreachable, time.Second })
		pass(4 * time.Second)
		require.Len(t, s.did(), 1)
		pass(6 * time.Second)
		require.Equal(t, []string{"rebuild a redis", "rebuild a sql"}, s.did())
	})
}

func TestWhatTakesLongOrKeepsFromLeadingIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{campaigns: campaignsOf("a"), health: coupon.Lost, takes: time.Hour}
		_, end := s.run(t)
		defer end()
		pass(9 * time.Second)
		_, endSecond := s.run(t)
		defer endSecond()
		require.NotContains(t, s.logged.String(), "takes long")
		pass(2 * time.Second)
		require.Contains(t, s.logged.String(), "takes long")
		require.Contains(t, s.logged.String(), "as told")
		require.NotContains(t, s.logged.String(), "cannot ask for the lead", "another one has it")
		s.set(func() { s.leadAway = true })
		pass(time.Second)
		require.Contains(t, s.logged.String(), "cannot ask for the lead")
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
		s.onRebuild = func(ctx context.Context, _ coupon.Mode) error {
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
		s.onRebuild = func(context.Context, coupon.Mode) error { return errAway }
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
		s.onRebuild = func(ctx context.Context, _ coupon.Mode) error {
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
