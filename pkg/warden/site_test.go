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
	leadAway  bool
	calls     []string
	logged    logged

	unopenable bool
	takes      time.Duration // of a rebuild
	onRebuild  func(ctx context.Context, mode coupon.Mode) error
}

// logged is what wardens wrote into their logs.
type logged struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
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
	if s.unopenable {
		return errAway
	}
	s.set(func() { s.health = coupon.Sound })
	return nil
}

// Rebuild brings the campaigns to the next epoch, and makes Redis sound.
func (s *site) Rebuild(ctx context.Context, campaigns []coupon.Campaign, mode coupon.Mode) error {
	var ids []string
	for _, c := range campaigns {
		ids = append(ids, c.ID)
	}
	s.call("rebuild " + strings.Join(ids, "+") + " " + string(mode))
	select {
	case <-time.After(s.lasts()):
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.onRebuild != nil {
		if err := s.onRebuild(ctx, mode); err != nil {
			return err
		}
	}
	s.set(func() {
		for i := range s.campaigns {
			if !slices.Contains(ids, s.campaigns[i].ID) {
				continue
			}
			s.campaigns[i].Epoch++
			s.campaigns[i].EpochState, s.campaigns[i].Mode = coupon.EpochActive, mode
		}
		if mode == coupon.ModeRedis {
			s.health = coupon.Sound
		}
	})
	return nil
}

func (s *site) lasts() (d time.Duration) {
	s.set(func() { d = s.takes })
	return d
}

func (s *site) Stands() string { return "as told" }

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
		Record: s, Stock: s, Fence: s, Log: s, Pace: s, Now: time.Now, Metrics: metrics,
		Logger: slog.New(slog.NewTextHandler(&s.logged, nil)),
		Lead: func(context.Context) (Lead, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.leadAway {
				return nil, coupon.Unavailable("lead", errAway)
			}
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
