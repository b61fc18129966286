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
	s := &stores{campaign: coupon.Campaign{ID: "winter", Status: status, Epoch: epoch}}
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

func (s *stores) Totals(context.Context, string) (coupon.Totals, error) {
	return coupon.Totals{Rows: 3}, nil
}

func (s *stores) Levels(_ context.Context, c []*coupon.Campaign) ([]coupon.Level, error) {
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
