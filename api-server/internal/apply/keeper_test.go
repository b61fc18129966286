package apply

import (
	"context"
	"errors"
	"log/slog"
	"testing"
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
	return coupon.Pushed{}, nil
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

func TestKeeperTendsWhatNeedsIt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	opened := func(id string) coupon.Campaign {
		return coupon.Campaign{ID: id, Epoch: 1, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Version: 5, Status: coupon.CampaignActive}
	}
	k := &kept{
		campaigns: []coupon.Campaign{opened("idle"), opened("due"), opened("fresh"), opened("behind"), opened("half"), opened("gone"), {ID: "never-opened"}},
		levels: map[string]coupon.Level{
			"idle":   {Known: true, Version: 5},
			"due":    {Known: true, Version: 5, Pending: 1, OldestDue: now.Add(-time.Second)},
			"fresh":  {Known: true, Version: 5, Pending: 1, OldestDue: now.Add(time.Second)},
			"half":   {Known: true},
			"behind": {Known: true, Version: 4, Last: 7},
			"gone":   {},
		},
	}
	view := NewView(k, slog.New(slog.DiscardHandler))
	require.NoError(t, view.Refresh(t.Context()))
	keeper := NewKeeper(view, k, k, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	keeper.Once(t.Context(), now)
	require.Equal(t, []string{"due", "fresh"}, k.swept, "whether they are due is for Redis' clock to say")
	require.Equal(t, []string{"behind"}, k.pushed)
	require.Equal(t, []string{"half"}, k.opened, "its keys are there, its document never came")
	require.Equal(t, int64(7), keeper.Level("behind").Last)

	k.levels, k.failure = nil, errors.New("away")
	keeper.Once(t.Context(), now)
	require.False(t, keeper.Level("behind").Known, "an old level is not shown as today's")
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
	k := &kept{campaigns: []coupon.Campaign{{ID: "a"}}}
	view := NewView(k, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		view.Run(ctx)
		close(ended)
	}()
	for range 3 {
		view.Reload() // never blocks, however often it is asked
	}
	require.Eventually(t, func() bool { _, ok := view.Campaign("a"); return ok }, refreshEvery/2, time.Millisecond)
	cancel()
	<-ended
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
	require.Equal(t, 4*time.Millisecond, traffic.P50)
	require.Greater(t, traffic.P99, 500*time.Millisecond)
	require.Zero(t, NewMetrics(prometheus.NewRegistry()).Traffic("a").P99)
}
