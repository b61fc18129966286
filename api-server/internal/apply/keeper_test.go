package apply

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/outbox"
)

// kept is a keeper's stores as functions, and what it did to them.
type kept struct {
	campaigns []coupon.Campaign
	levels    map[string]coupon.Level
	failure   error
	opened    []string
	pushed    []string
	swept     []string
	raised    []int64
	finished  []bool
	redis     coupon.Pushed
	wanted    coupon.Campaign // what the record answers a raise or a lowering with
}

func (k *kept) View(context.Context) ([]coupon.Campaign, error) { return k.campaigns, k.failure }

func (k *kept) Levels(_ context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error) {
	found := make([]coupon.Level, len(campaigns))
	for i, c := range campaigns {
		found[i] = k.levels[c.ID]
	}
	return found, k.failure
}

func (k *kept) Push(_ context.Context, d coupon.Document) (coupon.Pushed, error) {
	k.pushed = append(k.pushed, d.Campaign)
	return k.redis, nil
}

func (k *kept) RaiseWanted(_ context.Context, _ coupon.EpochRef, _, seen int64) (coupon.Campaign, error) {
	k.raised = append(k.raised, seen)
	return k.wanted, nil
}

func (k *kept) FinishLowering(_ context.Context, _ coupon.Document, taken bool) (coupon.Campaign, error) {
	k.finished = append(k.finished, taken)
	if !taken {
		return k.wanted, coupon.NewError(coupon.CodeLimitBelowClaimed, "")
	}
	return k.wanted, nil
}

func (k *kept) Open(_ context.Context, d coupon.Document) error {
	k.opened = append(k.opened, d.Campaign)
	return nil
}

func (k *kept) Campaign(context.Context, string) (coupon.Campaign, error) {
	return coupon.Campaign{}, errCampaignNotFound
}

func (k *kept) Sweep(_ context.Context, campaign string, _ int64, _ time.Duration) (outbox.Swept, error) {
	k.swept = append(k.swept, campaign)
	return outbox.Swept{}, nil
}

func keeperOf(t *testing.T, k *kept) *Keeper {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	view := NewView(k, logger)
	require.NoError(t, view.Refresh(t.Context()))
	return NewKeeper(view, k, k, k, NewMetrics(prometheus.NewRegistry()), logger)
}

// see has the keeper look at a changed campaign.
func (k *kept) see(t *testing.T, keeper *Keeper, now time.Time, change func(c *coupon.Campaign)) {
	t.Helper()
	change(&k.campaigns[0])
	require.NoError(t, keeper.view.Refresh(t.Context()))
	keeper.once(t.Context(), keeper.view.Campaigns(), now)
}

func opened(id string) coupon.Campaign {
	return coupon.Campaign{
		ID: id, Epoch: 3, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Version: 5, Status: coupon.CampaignActive,
		Hi: 100, HiWanted: 100,
	}
}

func ref(campaign string, epoch int64) coupon.EpochRef {
	return coupon.EpochRef{Campaign: campaign, Epoch: epoch}
}

func TestKeeperTendsWhatNeedsIt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	inSQL := opened("in-sql")
	inSQL.Mode, inSQL.NextSerial, inSQL.HiWanted = coupon.ModeSQL, 8, 50
	fencing := opened("fencing")
	fencing.EpochState = coupon.EpochFencing
	k := &kept{
		campaigns: []coupon.Campaign{
			opened("idle"), opened("due"), opened("fresh"), opened("behind"), opened("half"), opened("gone"), opened("ahead"),
			inSQL, fencing,
			{ID: "never-opened"},
		},
		levels: map[string]coupon.Level{
			"idle":    {Known: true, Epoch: 3, Version: 5},
			"due":     {Known: true, Epoch: 3, Version: 5, Pending: 1, OldestDue: now.Add(-time.Second)},
			"fresh":   {Known: true, Epoch: 3, Version: 5, Pending: 1, OldestDue: now.Add(time.Second)},
			"half":    {Known: true, Epoch: 2, Version: 4},
			"behind":  {Known: true, Epoch: 3, Version: 4, Last: 7},
			"ahead":   {Known: true, Epoch: 4, Version: 3},
			"fencing": {Known: true, Epoch: 3, Version: 4},
			"gone":    {},
		},
	}
	keeper := keeperOf(t, k)
	keeper.once(t.Context(), keeper.view.Campaigns(), now)
	require.Equal(t, []string{"behind"}, k.pushed, "nothing is said to a later epoch, nor to one that is fenced")
	require.Empty(t, k.opened, "not every server knows the epoch")
	require.Equal(t, int64(7), keeper.Level(ref("behind", 3)).Last)
	require.Zero(t, keeper.Level(ref("behind", 4)), "that epoch was not looked at")
	require.Equal(t, coupon.Level{Known: true, Last: 7, Epoch: 3, Version: 5}, keeper.Level(ref("in-sql", 3)))

	keeper.Sweep(t.Context())
	require.Equal(t, []string{"due", "fresh"}, k.swept, "whether they are due is for Redis' clock to say")

	keeper.once(t.Context(), keeper.view.Campaigns(), now.Add(viewsSettle-1))
	require.Empty(t, k.opened)
	keeper.once(t.Context(), keeper.view.Campaigns(), now.Add(viewsSettle))
	require.Equal(t, []string{"half"}, k.opened, "its keys are there, its document never came")

	k.levels, k.failure = nil, errors.New("away")
	keeper.once(t.Context(), keeper.view.Campaigns(), now)
	require.False(t, keeper.Level(ref("behind", 3)).Known, "an old level is not shown as today's")
	require.True(t, keeper.Level(ref("in-sql", 3)).Known)
}

func TestAnEpochSettlesAnewWhenItIsAnother(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := &kept{campaigns: []coupon.Campaign{opened("a")}, levels: map[string]coupon.Level{"a": {Known: true, Epoch: 2}}}
	keeper := keeperOf(t, k)
	keeper.once(t.Context(), keeper.view.Campaigns(), now)
	k.see(t, keeper, now.Add(viewsSettle), func(c *coupon.Campaign) { c.Epoch = 4 })
	require.Empty(t, k.opened)
	k.see(t, keeper, now.Add(2*viewsSettle), func(c *coupon.Campaign) { c.EpochState = coupon.EpochFencing })
	k.see(t, keeper, now.Add(2*viewsSettle), func(c *coupon.Campaign) { c.EpochState = coupon.EpochActive })
	require.Empty(t, k.opened)
}

func TestARaiseWaitsUntilEveryServerKnowsIt(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := start.Add
	k := &kept{campaigns: []coupon.Campaign{opened("a")}, levels: map[string]coupon.Level{"a": {Known: true, Epoch: 3, Version: 5}}}
	keeper := keeperOf(t, k)
	keeper.once(t.Context(), keeper.view.Campaigns(), at(0))
	k.see(t, keeper, at(time.Second), func(c *coupon.Campaign) { c.Hi = 120 })
	k.see(t, keeper, at(2*time.Second), func(c *coupon.Campaign) { c.Hi = 150 })
	keeper.once(t.Context(), keeper.view.Campaigns(), at(3*time.Second-1))
	require.Empty(t, k.raised)
	k.wanted = opened("a")
	keeper.once(t.Context(), keeper.view.Campaigns(), at(3*time.Second))
	require.Equal(t, []int64{120}, k.raised, "150 is not known for long enough")
	require.Equal(t, []string{"a"}, k.pushed, "Redis is told at once")

	k.see(t, keeper, at(3500*time.Millisecond), func(c *coupon.Campaign) { c.HiWanted, c.Version = 120, 6 })
	keeper.once(t.Context(), keeper.view.Campaigns(), at(4*time.Second))
	require.Equal(t, []int64{120, 150}, k.raised, "the raise that came first delays no later one")

	k.see(t, keeper, at(4500*time.Millisecond), func(c *coupon.Campaign) { c.HiWanted, c.Hi, c.Version = 150, 180, 7 })
	k.see(t, keeper, at(5*time.Second), func(c *coupon.Campaign) { c.Version = 8 })
	keeper.once(t.Context(), keeper.view.Campaigns(), at(7*time.Second-1))
	require.Len(t, k.raised, 2, "what was seen before another change counts no more")
	keeper.once(t.Context(), keeper.view.Campaigns(), at(7*time.Second))
	require.Equal(t, []int64{120, 150, 180}, k.raised)

	k.see(t, keeper, at(8*time.Second), func(c *coupon.Campaign) { c.Lowering = 10 })
	require.Len(t, k.raised, 3, "not while a lowering is open")
}

func TestALoweringLeftOpenIsFinished(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hi     int64
		taken  bool
		pushes int
	}{
		"taken":   {hi: 90, taken: true, pushes: 1},
		"refused": {hi: 100, taken: false, pushes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			lowering := opened("a")
			lowering.Lowering, lowering.HiWanted = 10, 90
			k := &kept{
				campaigns: []coupon.Campaign{lowering}, wanted: opened("a"),
				levels: map[string]coupon.Level{"a": {Known: true, Epoch: 3, Version: 5}}, redis: coupon.Pushed{Version: 5, Hi: c.hi},
			}
			keeper := keeperOf(t, k)
			keeper.once(t.Context(), keeper.view.Campaigns(), now)
			keeper.once(t.Context(), keeper.view.Campaigns(), now.Add(loweringPatience-1))
			require.Empty(t, k.finished, "its own server may be at it")
			keeper.once(t.Context(), keeper.view.Campaigns(), now.Add(loweringPatience))
			require.Equal(t, []bool{c.taken}, k.finished)
			require.Len(t, k.pushed, c.pushes, "Redis is told what became of a refused one")
			keeper.once(t.Context(), keeper.view.Campaigns(), now.Add(loweringPatience+lookEvery))
			require.Len(t, k.finished, 1, "an answer is waited for")

			k.see(t, keeper, now.Add(2*loweringPatience), func(c *coupon.Campaign) { c.HiWanted = 80 })
			require.Len(t, k.finished, 1, "another lowering of as many places")
		})
	}
}

func TestAViewThatCannotBeRefreshedStands(t *testing.T) {
	t.Parallel()
	k := &kept{campaigns: []coupon.Campaign{{ID: "b"}, {ID: "a"}}}
	view := NewView(k, slog.New(slog.DiscardHandler))
	_, found := view.Campaign("a")
	require.False(t, found)
	require.NoError(t, view.Refresh(t.Context()))
	require.Equal(t, "a", view.Campaigns()[0].ID)

	k.failure = errors.New("away")
	require.Error(t, view.Refresh(t.Context()))
	_, found = view.Campaign("a")
	require.True(t, found)
}

func TestViewReloadsWhenAskedTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{campaigns: []coupon.Campaign{{ID: "a"}}}
		view := NewView(k, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		go view.Run(ctx)
		for range 3 {
			view.Reload() // never blocks, however often it is asked
		}
		pass(t, refreshEvery/2)
		_, ok := view.Campaign("a")
		require.True(t, ok)
		cancel()
	})
}

// reads counts the views that are read.
type reads struct {
	kept
	views atomic.Int32
}

func (r *reads) View(ctx context.Context) ([]coupon.Campaign, error) {
	r.views.Add(1)
	return r.kept.View(ctx)
}

// A crowd whose answers contradict the view must not have it read for each of them.
func TestReloadsArePaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reads{}
		view := NewView(r, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var loop sync.WaitGroup
		loop.Go(func() { view.Run(ctx) })
		view.Reload()
		synctest.Wait()
		require.EqualValues(t, 1, r.views.Load(), "the first comes at once")
		for range 499 {
			view.Reload()
			time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's fake clock
		}
		require.EqualValues(t, 5, r.views.Load())
		cancel()
		loop.Wait()
	})
}

func TestTrafficCountsByOutcome(t *testing.T) {
	t.Parallel()
	m := NewMetrics(prometheus.NewRegistry())
	answer := Answer{Claim: coupon.Claim{Key: coupon.Key{Campaign: "a"}}, Status: coupon.StatusAccepted}
	for range 98 {
		m.Refused("a", coupon.CodeSoldOut, 3*time.Millisecond)
	}
	m.Granted(answer, 3*time.Millisecond)
	answer.Replayed = true
	for range 3 {
		m.Granted(answer, time.Second)
	}
	m.Refused("b", coupon.CodeSoldOut, 0)
	m.Refused("unknown", coupon.CodeCampaignNotFound, 0)

	now := time.Now()
	m.sampleRate(&coupon.Campaign{ID: "a", Issued: 0}, now.Add(-2*time.Second))
	m.Refused("a", coupon.CodeSoldOut, 3*time.Millisecond)
	m.sampleRate(&coupon.Campaign{ID: "a", Issued: 10}, now)

	traffic := m.Traffic("a")
	require.Equal(t, map[string]int64{"sold_out": 99}, traffic.Refused)
	require.InDelta(t, 0.5, traffic.AppliesPerS, 0.01)
	require.InDelta(t, 5, traffic.IssuedPerS, 0.01)
	m.sampleRate(&coupon.Campaign{ID: "a", Issued: 4}, now.Add(time.Second))
	require.Zero(t, m.Traffic("a").IssuedPerS, "more were cancelled than issued")
	require.Equal(t, 4*time.Millisecond, traffic.P50)
	require.Greater(t, traffic.P99, 500*time.Millisecond)
	require.Zero(t, NewMetrics(prometheus.NewRegistry()).Traffic("a").P99)
}
