package soldout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const campaignID = "winter"

// shelf is a source that does as it is told.
type shelf struct {
	mu    sync.Mutex
	pages [][]coupon.Key
	total int64
	err   error         // of every step, when set
	takes time.Duration // of every step
	steps int
	under int // steps under way
	most  int // at the same time
	hold  chan struct{}
}

func (s *shelf) Holders(_ context.Context, _ coupon.EpochRef, _ int64, cursor uint64) ([]coupon.Key, int64, uint64, error) {
	s.mu.Lock()
	s.steps++
	s.under++
	s.most = max(s.most, s.under)
	takes, hold := s.takes, s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	<-time.After(takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under--
	if s.err != nil {
		return nil, 0, 0, s.err
	}
	next := (cursor + 1) % uint64(len(s.pages))
	return s.pages[cursor], s.total, next, nil
}

func (s *shelf) stepsMade() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.steps
}

var errAway = errors.New("away")

func key(user string) coupon.Key { return coupon.Key{Campaign: campaignID, User: user, N: 1} }

func keys(prefix string, n int) []coupon.Key {
	all := make([]coupon.Key, n)
	for i := range all {
		all[i] = key(fmt.Sprint(prefix, i))
	}
	return all
}

// bench is the memory of a campaign with three holders, h0 to h2, that are loaded and confirmed at now.
type bench struct {
	*Memory
	shelf *shelf
	c     coupon.Campaign
	now   time.Time
}

func newBench() *bench {
	s := &shelf{pages: [][]coupon.Key{keys("h", 2), {key("h1"), key("h2")}}, total: 3, takes: time.Millisecond}
	now := time.Now()
	return &bench{
		Memory: NewLoader(s, slog.New(slog.DiscardHandler)).Memory(), shelf: s, now: now,
		c: coupon.Campaign{
			ID: campaignID, Epoch: 7, Mode: coupon.ModeRedis, EpochState: coupon.EpochActive, Status: coupon.CampaignActive,
			Lo: 1, Hi: 3, HiWanted: 3, Version: 4, StartsAt: now.Add(-time.Hour), EndsAt: now.Add(time.Hour),
		},
	}
}

// bubble runs the test in simulated time.
func bubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, newBench()) })
}

var soldOutAt3 = []coupon.Decision{{Verdict: coupon.RefusedSoldOut, Hi: 3}}

// hears has Redis say sold_out now.
func (b *bench) hears(decisions ...coupon.Decision) {
	b.now = time.Now()
	b.Heard(&b.c, decisions, b.now)
}

// ready has the holders loaded and confirmed.
func (b *bench) ready(t *testing.T) {
	t.Helper()
	b.hears(soldOutAt3...)
	pass(100 * time.Millisecond)
	b.hears(soldOutAt3...)
	require.True(t, b.refuses("stranger"))
}

func (b *bench) refuses(user string) bool { return b.Refuses(&b.c, b.now, b.now, key(user)) }

// pass lets simulated time pass, and everything that happens meanwhile.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
