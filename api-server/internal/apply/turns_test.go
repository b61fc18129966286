package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Whatever waits where, a call takes of each lane what came first there, and everything is taken once.
func TestTurnsKeepTheOrderOfEachLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const producers, each, perLane, together = 32, 500, 7, 20
		lanes := []*lane{{}, {}, {}, {}, {}}
		var (
			running sync.Mutex
			done    sync.WaitGroup
			last    = map[string]int{}
		)
		done.Add(producers * each)
		q := &turns{perLane: perLane, together: together, handle: func(turn []*lane) {
			if !running.TryLock() {
				t.Error("two calls at once")
				return
			}
			defer running.Unlock()
			if len(turn) == 0 || len(turn) > len(lanes) {
				t.Errorf("a call of %d lanes", len(turn))
			}
			for _, l := range turn {
				if len(l.taken) == 0 || len(l.taken) > perLane {
					t.Errorf("%d tickets of one lane", len(l.taken))
				}
				for _, taken := range l.taken {
					if taken.lane != l || taken.key.N != last[taken.key.User]+1 {
						t.Errorf("%v came after %d", taken.key, last[taken.key.User])
					}
					last[taken.key.User] = taken.key.N
					done.Done()
				}
			}
		}}
		for p := range producers {
			go func() {
				for n := 1; n <= each; n++ {
					q.add(&ticket{key: coupon.Key{User: string(rune('a' + p)), N: n}, lane: lanes[p%len(lanes)]})
				}
			}()
		}
		done.Wait()
		require.Len(t, last, producers)
		for user, n := range last {
			require.Equal(t, each, n, user)
		}
	})
}

// A crowd at one campaign takes no more than its share of a call, so whoever comes to another waits for one call at most.
func TestACrowdDoesNotKeepAnotherCampaignWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		crowded, quiet := &lane{}, &lane{}
		first, release := make(chan struct{}), make(chan struct{})
		var calls [][]int
		q := &turns{perLane: 10, together: 20}
		q.handle = func([]*lane) {
			if len(calls) == 0 {
				close(first)
				<-release
			}
			calls = append(calls, []int{len(crowded.taken), len(quiet.taken)})
		}
		q.add(&ticket{lane: crowded})
		<-first
		for range 100 {
			q.add(&ticket{lane: crowded})
		}
		q.add(&ticket{lane: quiet})
		close(release)
		synctest.Wait()
		require.Len(t, calls, 11)
		require.Equal(t, []int{1, 0}, calls[0])
		require.Equal(t, []int{10, 1}, calls[1])
		require.Equal(t, []int{10, 0}, calls[10])
	})
}

func TestACallThatPanicsIsTheLastOfItsTicketsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := []*lane{{}, {}}
		first, release := make(chan struct{}), make(chan struct{})
		rescued, handled := make(chan *ticket, 2), make(chan *ticket, 2)
		calls := 0
		q := &turns{perLane: 1, together: 2, rescue: func(batch []*ticket, _ any) { rescued <- batch[0] }}
		q.handle = func(turn []*lane) {
			calls++
			if calls == 1 {
				close(first)
				<-release
				return
			}
			if calls == 2 {
				panic("planned")
			}
			for _, l := range turn {
				handled <- l.taken[0]
			}
		}
		q.add(&ticket{lane: &lane{}})
		<-first
		tickets := []*ticket{{lane: lanes[0]}, {lane: lanes[1]}, {lane: lanes[0]}, {lane: lanes[1]}}
		for _, one := range tickets {
			q.add(one)
		}
		close(release)
		for _, one := range tickets[:2] {
			require.Same(t, one, <-rescued)
		}
		for _, one := range tickets[2:] {
			require.Same(t, one, <-handled)
		}
	})
}

// nodes is a Redis Cluster of which some nodes are silent, each campaign on one of its own.
type nodes struct {
	*bench
	silent map[string]bool

	mu    sync.Mutex
	trips [][]string // the campaigns of each round trip
}

func (n *nodes) ClaimAll(ctx context.Context, batches []coupon.Batch) []coupon.Decided {
	decided := make([]coupon.Decided, len(batches))
	var trip []string
	late := false
	for i, b := range batches {
		trip = append(trip, b.Campaign)
		if n.silent[b.Campaign] {
			decided[i].Err, late = context.DeadlineExceeded, true
			continue
		}
		decided[i] = n.bench.ClaimAll(ctx, batches[i:i+1])[0]
	}
	n.mu.Lock()
	n.trips = append(n.trips, trip)
	n.mu.Unlock()
	if late {
		<-ctx.Done()
	}
	return decided
}

func (n *nodes) View(context.Context) ([]coupon.Campaign, error) {
	all := make([]coupon.Campaign, 0, len(n.silent))
	for _, id := range slices.Sorted(maps.Keys(n.silent)) {
		c := n.campaign
		c.ID = id
		all = append(all, c)
	}
	return all, nil
}

func (n *nodes) Standings(_ context.Context, ids []string) (map[string]coupon.Standing, error) {
	standings := map[string]coupon.Standing{}
	for _, id := range ids {
		standings[id] = coupon.Standing{Epoch: 1, State: coupon.EpochActive}
	}
	return standings, nil
}

func onNodes(t *testing.T, silent map[string]bool) *nodes {
	t.Helper()
	n := &nodes{bench: setup(t), silent: silent}
	view := NewView(n, n.service.logger)
	require.NoError(t, view.Refresh(t.Context()))
	n.service = NewService(view, n, n, n, Limits{Queue: 1000, Batch: 128}, NewMetrics(prometheus.NewRegistry()), n.service.logger)
	return n
}

// applyDuringACall applies to each campaign in turn, by another user each time; all but the first come while the first one's
// claim call is under way.
func (n *nodes) applyDuringACall(t *testing.T, campaigns []string, told func(campaign string, answer Answer, err error)) {
	t.Helper()
	hold, claim := make(chan struct{}), n.claim
	n.claim = func(keys []coupon.Key) ([]coupon.Decision, error) {
		<-hold
		return claim(keys)
	}
	var all sync.WaitGroup
	for user, campaign := range campaigns {
		all.Go(func() {
			answer, err := n.service.Apply(t.Context(), coupon.Key{Campaign: campaign, User: fmt.Sprint(user), N: 1})
			told(campaign, answer, err)
		})
		synctest.Wait()
	}
	close(hold)
	all.Wait()
	require.NoError(t, n.service.Drain(t.Context()))
}

func TestClaimsOfManyCampaignsShareARoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := onNodes(t, map[string]bool{"a": false, "b": false, "c": false})
		n.applyDuringACall(t, []string{"a", "c", "b", "a", "b"}, func(campaign string, answer Answer, err error) {
			if err != nil || answer.Status != coupon.StatusAccepted || answer.Claim.Campaign != campaign {
				t.Errorf("%+v, %v", answer, err)
			}
		})
		require.Equal(t, [][]string{{"a"}, {"c", "b", "a"}}, n.trips)
	})
}

// A node that is away costs the other campaigns one call, however many campaigns it has: the next calls go without them,
// until they are heard again.
func TestASilentNodeKeepsOtherCampaignsWaitingOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := map[string]bool{"alive": false}
		for i := range 20 {
			silent[fmt.Sprint("away-", i)] = true
		}
		n := onNodes(t, silent)
		apply := func(campaign, user string) (time.Duration, error) {
			began := time.Now()
			_, err := n.service.Apply(t.Context(), coupon.Key{Campaign: campaign, User: user, N: 1})
			return time.Since(began), err
		}
		_, err := apply("away-0", "first")
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
		var away sync.WaitGroup
		for i := range 20 {
			away.Go(func() {
				took, err := apply(fmt.Sprint("away-", i), "u")
				if coupon.CodeOf(err) != coupon.CodeUnavailable || took > 2*claimDeadline {
					t.Errorf("%v after %v", err, took)
				}
			})
			synctest.Wait()
			took, err := apply("alive", fmt.Sprint("u-", i))
			require.NoError(t, err)
			require.Zero(t, took, "it waits for nobody")
		}
		away.Wait()
		clear(n.silent)
		_, err = apply("away-7", "again")
		require.NoError(t, err)
		c, _ := n.service.view.Campaign("away-7")
		require.False(t, n.service.goesTogether(n.service.lane(c), c), "it may be away again the next moment")
		<-time.After(rejoinAfter)
		require.True(t, n.service.goesTogether(n.service.lane(c), c), "again")
		require.NoError(t, n.service.Drain(t.Context()))
	})
}

// What goes wrong with one campaign of a call is no concern of the others.
func TestAPanicIsKeptToItsCampaign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := onNodes(t, map[string]bool{"a": false, "b": false, "c": false})
		n.claim = func(keys []coupon.Key) ([]coupon.Decision, error) {
			if keys[0].Campaign == "b" {
				return nil, nil // too few
			}
			return n.grantAll(keys)
		}
		n.applyDuringACall(t, []string{"a", "b", "c", "a"}, func(campaign string, _ Answer, err error) {
			if (err != nil) != (campaign == "b") {
				t.Errorf("%s: %v", campaign, err)
			}
		})
		require.Equal(t, [][]string{{"a"}, {"b", "c", "a"}}, n.trips)
	})
}
