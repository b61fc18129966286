package operate

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// stores keeps one campaign and notes what was done, in order.
type stores struct {
	campaign coupon.Campaign
	away     error // what Redis answers
	done     []string
}

func (s *stores) CreateCampaign(_ context.Context, c coupon.Campaign) error {
	s.campaign = c
	s.done = append(s.done, "create")
	return nil
}

func (s *stores) Campaign(context.Context, string) (coupon.Campaign, error) { return s.campaign, nil }

func (s *stores) SetStatus(_ context.Context, _ string, to coupon.CampaignStatus) (coupon.Campaign, error) {
	opening := s.campaign.Status == coupon.CampaignDraft && to == coupon.CampaignActive
	if opening || !s.campaign.Status.CanBecome(to) {
		return coupon.Campaign{}, coupon.NewError(coupon.CodeInvalidTransition, "")
	}
	s.campaign.Status = to
	s.done = append(s.done, "record "+string(to))
	return s.campaign, nil
}

func (s *stores) UpdateCampaign(_ context.Context, _ string, version int64, change coupon.CampaignChange) (coupon.Campaign, error) {
	if version != s.campaign.Version {
		return coupon.Campaign{}, coupon.NewError(coupon.CodeVersionMismatch, "")
	}
	s.campaign, _ = change.Apply(s.campaign)
	s.campaign.Version++
	s.done = append(s.done, "record a change")
	return s.campaign, nil
}

func (s *stores) WantFence(context.Context, string) (coupon.Campaign, error) {
	if s.campaign.EpochState != coupon.EpochActive {
		return coupon.Campaign{}, coupon.NewError(coupon.CodeInvalidTransition, "")
	}
	s.campaign.FenceWanted = s.campaign.Epoch
	s.done = append(s.done, "want a fence")
	return s.campaign, nil
}

func (s *stores) Open(context.Context, string) error {
	if s.away != nil {
		return coupon.Unavailable("open", s.away)
	}
	s.campaign.Status, s.campaign.Epoch = coupon.CampaignActive, 1
	s.done = append(s.done, "open")
	return nil
}

func (s *stores) Push(_ context.Context, d coupon.Document) (coupon.Pushed, error) {
	s.done = append(s.done, "push "+string(d.State))
	return coupon.Pushed{}, s.away
}

func (s *stores) Reload() {}

func setup(status coupon.CampaignStatus, epoch int64) (*stores, *Operator) {
	state := coupon.EpochNone
	if epoch > 0 {
		state = coupon.EpochActive
	}
	return setupEpoch(coupon.Campaign{Status: status, Epoch: epoch, EpochState: state, Mode: coupon.ModeRedis})
}

func setupEpoch(c coupon.Campaign) (*stores, *Operator) {
	c.ID, c.StartsAt, c.EndsAt = "winter", time.Unix(0, 0), time.Unix(10, 0)
	s := &stores{campaign: c}
	return s, New(s, s, s, s, slog.New(slog.DiscardHandler))
}

func TestTheRecordIsToldBeforeRedis(t *testing.T) {
	t.Parallel()
	s, o := setup(coupon.CampaignActive, 1)
	_, err := o.Pause(t.Context(), "winter")
	require.NoError(t, err)
	_, err = o.Resume(t.Context(), "winter")
	require.NoError(t, err)
	_, err = o.Close(t.Context(), "winter")
	require.NoError(t, err)
	require.Equal(t, []string{"record paused", "push paused", "record active", "push open", "record closed", "push closed"}, s.done)
}

func TestAMoveThatRedisDidNotApplyIsNotSuccess(t *testing.T) {
	t.Parallel()
	s, o := setup(coupon.CampaignActive, 1)
	s.away = errors.New("away")
	_, err := o.Pause(t.Context(), "winter")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.Equal(t, coupon.CampaignPaused, s.campaign.Status, "recorded, so the keeper finishes it")
}

func TestADraftIsOpenedNotResumed(t *testing.T) {
	t.Parallel()
	s, o := setup(coupon.CampaignDraft, 0)
	_, err := o.Resume(t.Context(), "winter")
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
	_, err = o.Close(t.Context(), "winter")
	require.NoError(t, err)
	require.Equal(t, []string{"record closed"}, s.done, "Redis never heard of it")
}

func TestCreate(t *testing.T) {
	t.Parallel()
	s, o := setup("", 0)
	c, err := o.Create(t.Context(), coupon.Campaign{ID: "winter", Status: coupon.CampaignDraft}, false)
	require.NoError(t, err)
	require.Equal(t, coupon.CampaignDraft, c.Status)
	require.Equal(t, []string{"create"}, s.done)
	c, err = o.Create(t.Context(), coupon.Campaign{ID: "winter", Status: coupon.CampaignDraft}, true)
	require.NoError(t, err)
	require.Equal(t, coupon.CampaignActive, c.Status)
	require.Equal(t, []string{"create", "create", "open"}, s.done)
}

// Where a grant of Redis may still become a row, a change is done once Redis applied it; elsewhere once it is recorded.
func TestAChangeIsPushedWhereRedisMayGrant(t *testing.T) {
	t.Parallel()
	cases := []struct {
		mode  coupon.Mode
		state coupon.EpochState
		asked bool
	}{
		{coupon.ModeRedis, coupon.EpochActive, true},
		{coupon.ModeRedis, coupon.EpochFencing, true},  // until the fence learns where the log ends, a grant can get in
		{coupon.ModeRedis, coupon.EpochLoading, false}, // F7 reads the document after this
		{coupon.ModeRedis, coupon.EpochClosed, false},
		{coupon.ModeSQL, coupon.EpochActive, false}, // every grant reads the record
		{coupon.ModeSQL, coupon.EpochFencing, false},
	}
	for _, c := range cases {
		t.Run(string(c.mode)+" "+string(c.state), func(t *testing.T) {
			t.Parallel()
			s, o := setupEpoch(coupon.Campaign{Status: coupon.CampaignActive, Epoch: 3, EpochState: c.state, Mode: c.mode, Version: 7})
			steps := map[string]func() error{
				"pause":  func() error { _, err := o.Pause(t.Context(), "winter"); return err },
				"resume": func() error { _, err := o.Resume(t.Context(), "winter"); return err },
				"change": func() error {
					_, err := o.Update(t.Context(), "winter", s.campaign.Version, coupon.CampaignChange{})
					return err
				},
				"close": func() error { _, err := o.Close(t.Context(), "winter"); return err },
			}
			for _, name := range []string{"pause", "resume", "change", "close"} {
				s.done, s.away = nil, nil
				require.NoError(t, steps[name](), name)
				require.Len(t, s.done, map[bool]int{true: 2, false: 1}[c.asked], "%s: %v", name, s.done)
				s.away = errors.New("away")
				if err := steps[name](); c.asked {
					require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), name)
				} else {
					require.NoError(t, err, name)
				}
			}
			require.Equal(t, coupon.CampaignClosed, s.campaign.Status)
			require.Equal(t, int64(9), s.campaign.Version, "both changes are recorded")
		})
	}
}

func TestAChangeNamesItsVersion(t *testing.T) {
	t.Parallel()
	s, o := setup(coupon.CampaignActive, 1)
	name := "Winter"
	_, err := o.Update(t.Context(), "winter", 1, coupon.CampaignChange{Name: &name})
	require.Equal(t, coupon.CodeVersionMismatch, coupon.CodeOf(err))
	require.Empty(t, s.done)
	c, err := o.Update(t.Context(), "winter", 0, coupon.CampaignChange{Name: &name})
	require.NoError(t, err)
	require.Equal(t, "Winter", c.Name)
	require.Equal(t, []string{"record a change", "push open"}, s.done)
}

func TestRebuildIsAWishOnly(t *testing.T) {
	t.Parallel()
	s, o := setup(coupon.CampaignActive, 4)
	c, err := o.Rebuild(t.Context(), "winter")
	require.NoError(t, err)
	require.Equal(t, int64(4), c.FenceWanted)
	require.Equal(t, []string{"want a fence"}, s.done)
	s.campaign.EpochState = coupon.EpochLoading
	_, err = o.Rebuild(t.Context(), "winter")
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
}

func (s *stores) Totals(context.Context, string) (coupon.Totals, error) {
	return coupon.Totals{Rows: 3}, nil
}

func (s *stores) Levels(_ context.Context, c []*coupon.Campaign) ([]coupon.Level, error) {
	s.done = append(s.done, "levels")
	return []coupon.Level{{Known: s.away == nil, Last: 5}}[:len(c)], s.away
}

func (s *stores) Backlog(context.Context) (int64, error) { return 2, s.away }

func TestStatsSayWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	s, _ := setup(coupon.CampaignActive, 1)
	statistics := NewStatistics(s, s, s, s)
	stats, err := statistics.Of(t.Context(), "winter", time.Now())
	require.NoError(t, err)
	require.Equal(t, int64(5), stats.Level.Last)
	require.Equal(t, int64(2), *stats.Backlog)

	s.away = errors.New("away")
	stats, err = statistics.Of(t.Context(), "winter", time.Now())
	require.NoError(t, err)
	require.False(t, stats.Level.Known)
	require.Nil(t, stats.Backlog)
	require.Equal(t, int64(3), stats.Totals.Rows)
}

func TestStatsAskRedisOnlyWhereItDecides(t *testing.T) {
	t.Parallel()
	level := func(mode coupon.Mode, state coupon.EpochState) (coupon.Level, []string) {
		s, _ := setupEpoch(coupon.Campaign{Status: coupon.CampaignActive, Epoch: 2, EpochState: state, Mode: mode, NextSerial: 42})
		stats, err := NewStatistics(s, s, s, s).Of(t.Context(), "winter", time.Now())
		require.NoError(t, err)
		return stats.Level, s.done
	}
	sql, asked := level(coupon.ModeSQL, coupon.EpochActive)
	require.Equal(t, coupon.Level{Known: true, Last: 41, Epoch: 2}, sql)
	require.Empty(t, asked)
	for _, state := range []coupon.EpochState{coupon.EpochFencing, coupon.EpochLoading, coupon.EpochClosed} {
		between, asked := level(coupon.ModeRedis, state)
		require.Zero(t, between)
		require.Empty(t, asked)
	}
}
