package rebuild

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// stores are the record and the claim state; after tells what the wardens have done by then.
type stores struct {
	mu        sync.Mutex
	campaigns map[string]*coupon.Campaign
	inRedis   map[string]int64 // the epoch of the document
	wanted    []string
}

func newStores(campaigns ...coupon.Campaign) *stores {
	s := &stores{campaigns: map[string]*coupon.Campaign{}, inRedis: map[string]int64{}}
	for _, c := range campaigns {
		s.campaigns[c.ID] = &c
		s.inRedis[c.ID] = c.Epoch
	}
	return s
}

func (s *stores) Campaign(_ context.Context, id string) (coupon.Campaign, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.campaigns[id]; ok {
		return *c, nil
	}
	return coupon.Campaign{}, coupon.NewError(coupon.CodeCampaignNotFound, id)
}

func (s *stores) Campaigns(_ context.Context, after string, limit int) (page []coupon.Campaign, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.campaigns {
		if id > after {
			page = append(page, *c)
		}
	}
	slices.SortFunc(page, func(a, b coupon.Campaign) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	return page[:min(limit, len(page))], nil
}

func (s *stores) WantFence(_ context.Context, id string) (coupon.Campaign, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.campaigns[id]
	if c.EpochState != coupon.EpochActive || c.Status != coupon.CampaignActive && c.Status != coupon.CampaignPaused {
		return coupon.Campaign{}, coupon.NewError(coupon.CodeInvalidTransition, "no open epoch")
	}
	c.FenceWanted = c.Epoch
	s.wanted = append(s.wanted, id)
	return *c, nil
}

func (s *stores) Levels(_ context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	levels := make([]coupon.Level, len(campaigns))
	for i, c := range campaigns {
		levels[i].Epoch = s.inRedis[c.ID]
	}
	return levels, nil
}

// after does what a warden has done after some time.
func (s *stores) after(d time.Duration, id string, do func(c *coupon.Campaign)) {
	go func() {
		<-time.After(d)
		s.mu.Lock()
		defer s.mu.Unlock()
		do(s.campaigns[id])
	}()
}

func open(id string) coupon.Campaign {
	return coupon.Campaign{
		ID: id, Status: coupon.CampaignActive, Epoch: 3, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis,
	}
}

// run gives the job a minute.
func run(t *testing.T, s *stores, ids ...string) (Result, string, error) {
	t.Helper()
	var lines bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	job := New(s, s, Options{
		Campaigns: ids, Now: time.Now, Progress: func(int, int) {}, Logger: slog.New(slog.NewTextHandler(&lines, nil)),
	})
	result, err := job.RunOnce(ctx)
	return result, lines.String(), err
}

func TestRebuiltIsOpenInALaterEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(open("a"), open("b"))
		s.after(3*time.Second, "a", func(c *coupon.Campaign) { c.Epoch, c.EpochState = 4, coupon.EpochLoading })
		s.after(5*time.Second, "a", func(c *coupon.Campaign) { c.EpochState = coupon.EpochActive })
		s.after(8*time.Second, "a", func(*coupon.Campaign) { s.inRedis["a"] = 4 })
		s.after(6*time.Second, "b", func(c *coupon.Campaign) { c.Epoch, c.Mode = 4, coupon.ModeSQL })
		began := time.Now()
		result, said, err := run(t, s, "a", "b")
		require.NoError(t, err)
		require.Equal(t, Result{Rebuilt: []string{"b", "a"}}, result)
		require.True(t, result.OK())
		require.Equal(t, []string{"a", "b"}, s.wanted)
		require.GreaterOrEqual(t, time.Since(began), 8*time.Second, "the document is in Redis")
		require.Less(t, time.Since(began), 9*time.Second)
		require.Empty(t, said)
	})
}

func TestAllAreThoseThatAreOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		paused, closed, draft := open("b"), open("c"), open("d")
		paused.Status, closed.Status = coupon.CampaignPaused, coupon.CampaignClosed
		draft.Status, draft.Epoch, draft.EpochState = coupon.CampaignDraft, 0, coupon.EpochNone
		s := newStores(open("a"), paused, closed, draft)
		for _, id := range []string{"a", "b"} {
			s.after(time.Second, id, func(c *coupon.Campaign) { c.Epoch, c.Mode = 4, coupon.ModeSQL })
		}
		result, _, err := run(t, s)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"a", "b"}, result.Rebuilt)
	})
}

func TestAnUnknownCampaignIsNamedAndNothingIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newStores(open("a"))
	_, _, err := run(t, s, "a", "winter", "summer")
	require.ErrorContains(t, err, "no such campaign: winter, summer")
	require.Empty(t, s.wanted)
}

func TestWhatIsBeingRebuiltAlreadyIsAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fencing, loading := open("a"), open("b")
		fencing.EpochState, loading.EpochState = coupon.EpochFencing, coupon.EpochLoading
		s := newStores(fencing, loading)
		s.after(time.Second, "a", func(c *coupon.Campaign) { c.Epoch, c.EpochState, s.inRedis["a"] = 4, coupon.EpochActive, 4 })
		s.after(time.Second, "b", func(c *coupon.Campaign) { c.EpochState = coupon.EpochActive })
		result, _, err := run(t, s, "a", "b")
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"a", "b"}, result.Rebuilt)
		require.Empty(t, s.wanted)
	})
}

func TestWhatWasNotRebuiltSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s *stores, c *coupon.Campaign)
		says   string
		hinted bool
	}{
		"no warden":   {func(*stores, *coupon.Campaign) {}, "no consumer has begun", true},
		"not drained": {func(_ *stores, c *coupon.Campaign) { c.EpochState = coupon.EpochFencing }, "its log is not drained", false},
		"loading": {func(_ *stores, c *coupon.Campaign) {
			c.Epoch, c.EpochState = 4, coupon.EpochLoading
		}, "being loaded", false},
		"unopened": {func(_ *stores, c *coupon.Campaign) { c.Epoch = 4 }, "does Redis answer?", false},
		"closed": {func(_ *stores, c *coupon.Campaign) {
			c.Status, c.EpochState = coupon.CampaignClosed, coupon.EpochClosed
		}, "closed meanwhile", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStores(open("a"))
				s.after(time.Second, "a", func(campaign *coupon.Campaign) { c.change(s, campaign) })
				result, said, err := run(t, s, "a")
				require.NoError(t, err)
				require.False(t, result.OK())
				require.Len(t, result.Failed, 1)
				require.Contains(t, result.Failed[0].Why, c.says)
				require.Contains(t, result.Summary(), "rebuilt 0, failed 1; a: "+result.Failed[0].Why)
				require.Equal(t, c.hinted, said != "")
			})
		})
	}
	closed := open("a")
	closed.Status = coupon.CampaignClosed
	result, _, err := run(t, newStores(closed), "a")
	require.NoError(t, err)
	require.Equal(t, []Failure{{"a", "a closed campaign has no open epoch"}}, result.Failed)
}

func TestASignalCutsItShort(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newStores(open("a"))
	job := New(s, s, Options{Campaigns: []string{"a"}, Now: time.Now, Progress: func(int, int) {}, Logger: slog.New(slog.DiscardHandler)})
	result, err := job.RunOnce(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, result.Failed, 1)
}
