package fence

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

var errAway = errors.New("away")

// stores is both ports. It writes down the calls; a failure stands for a step that another opener, or nobody, did.
type stores struct {
	campaign   coupon.Campaign
	onCampaign func(look int) (coupon.Campaign, error)
	onSeal     func(ctx context.Context) error
	onBegin    func() error
	onPrepare  func() error
	onActivate func() error
	onOpen     func() error

	looks    int
	calls    []string
	prepared coupon.Document
	opened   coupon.Document
}

func (s *stores) Campaign(context.Context, string) (coupon.Campaign, error) {
	s.looks++
	if s.onCampaign != nil {
		return s.onCampaign(s.looks)
	}
	return s.campaign, nil
}

func (s *stores) call(name string, answer func() error) error {
	s.calls = append(s.calls, name)
	if answer == nil {
		return nil
	}
	return answer()
}

func (s *stores) Seal(ctx context.Context, _ string) (string, error) {
	if s.onSeal != nil {
		return "", s.onSeal(ctx)
	}
	return "replid", nil
}

func (s *stores) BeginEpoch(_ context.Context, id string, mode coupon.Mode) (coupon.Campaign, error) {
	return coupon.Campaign{ID: id, Epoch: 1, Version: 2, Mode: mode}, s.call("begin "+string(mode), s.onBegin)
}

func (s *stores) Prepare(_ context.Context, d coupon.Document) error {
	s.prepared = d
	return s.call("prepare", s.onPrepare)
}

func (s *stores) ActivateEpoch(_ context.Context, d coupon.Document) (coupon.Document, error) {
	d.Version, d.State = 3, coupon.DocumentOpen
	return d, s.call("activate", s.onActivate)
}

func (s *stores) Open(_ context.Context, d coupon.Document) error {
	s.opened = d
	return s.call("open", s.onOpen)
}

func (s *stores) open(t *testing.T) error {
	t.Helper()
	return New(s, s).Open(t.Context(), "winter")
}

func draft() coupon.Campaign {
	return coupon.Campaign{ID: "winter", Status: coupon.CampaignDraft, EpochState: coupon.EpochNone}
}

func open() coupon.Campaign {
	return coupon.Campaign{
		ID: "winter", Status: coupon.CampaignActive, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Epoch: 1, Version: 9,
	}
}

func fails() error { return errAway }

func TestOpenTakesTheStepsInOrder(t *testing.T) {
	t.Parallel()
	s := &stores{campaign: draft()}
	require.NoError(t, s.open(t))
	require.Equal(t, []string{"begin redis", "prepare", "activate", "open"}, s.calls)
	require.Equal(t, coupon.Document{Campaign: "winter", Epoch: 1, Version: 3, State: coupon.DocumentOpen, Seal: "replid"}, s.opened)
	require.Equal(t, "replid", s.prepared.Seal, "the owner is known before the first key is")
}

func TestOpenIsInModeSQLWhereRedisDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &stores{campaign: draft(), onSeal: func(ctx context.Context) error {
			<-ctx.Done()
			return coupon.Unavailable("seal", ctx.Err())
		}}
		require.NoError(t, s.open(t))
		require.Equal(t, []string{"begin sql"}, s.calls)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestOpenFinishesWhatIsActive(t *testing.T) {
	t.Parallel()
	campaign := open()
	s := &stores{campaign: campaign}
	require.NoError(t, s.open(t))
	require.Equal(t, []string{"open"}, s.calls)
	require.Equal(t, campaign.Document(), s.opened)

	campaign.Mode = coupon.ModeSQL
	s = &stores{campaign: campaign}
	require.NoError(t, s.open(t))
	require.Empty(t, s.calls, "in mode sql Redis has no part")

	campaign = open()
	campaign.Epoch = 2
	s = &stores{campaign: campaign}
	require.NoError(t, s.open(t))
	require.Empty(t, s.calls, "servers may still have the first epoch in their views")

	campaign = open()
	campaign.Issued = 1
	s = &stores{campaign: campaign, onOpen: fails}
	require.NoError(t, s.open(t))
	require.Empty(t, s.calls, "it was open; whether it still is, the warden sees")
}

func TestOpenIsRefused(t *testing.T) {
	t.Parallel()
	for code, c := range map[coupon.Code]coupon.Campaign{
		coupon.CodeInvalidTransition: {Status: coupon.CampaignClosed, EpochState: coupon.EpochClosed},
		coupon.CodeUnavailable:       {Status: coupon.CampaignPaused, EpochState: coupon.EpochFencing},
	} {
		s := &stores{campaign: c}
		require.Equal(t, code, coupon.CodeOf(s.open(t)))
		require.Empty(t, s.calls)
	}
}

func TestOpenStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		stores stores
		calls  []string
	}{
		"begin":    {stores{campaign: draft(), onBegin: fails}, []string{"begin redis"}},
		"prepare":  {stores{campaign: draft(), onPrepare: fails}, []string{"begin redis", "prepare"}},
		"activate": {stores{campaign: draft(), onActivate: fails}, []string{"begin redis", "prepare", "activate"}},
		"open":     {stores{campaign: draft(), onOpen: fails}, []string{"begin redis", "prepare", "activate", "open"}},
		"reopen":   {stores{campaign: open(), onOpen: fails}, []string{"open"}},
		"look":     {stores{onCampaign: func(int) (coupon.Campaign, error) { return coupon.Campaign{}, errAway }}, nil},
		"second look": {stores{onBegin: fails, onCampaign: func(look int) (coupon.Campaign, error) {
			if look == 2 {
				return coupon.Campaign{}, context.Canceled
			}
			return draft(), nil
		}}, []string{"begin redis"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorIs(t, c.stores.open(t), errAway)
			require.Equal(t, c.calls, c.stores.calls)
		})
	}
}

// A double click: another opener is faster, somewhere between our first look and our last step.
func TestOpenIsANoOpWhereAnotherOpenerWon(t *testing.T) {
	t.Parallel()
	told := func() error { return coupon.NewError(coupon.CodeInvalidTransition, "the campaign is open") }
	for name, s := range map[string]*stores{
		"before begin":    {onBegin: told},
		"before prepare":  {onPrepare: fails},
		"before activate": {onActivate: fails},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			winner := open()
			s.onCampaign = func(look int) (coupon.Campaign, error) {
				if look == 1 {
					return draft(), nil
				}
				return winner, nil
			}
			require.NoError(t, s.open(t))
			require.Equal(t, "open", s.calls[len(s.calls)-1])
			require.Equal(t, winner.Document(), s.opened)
			require.Equal(t, 2, s.looks)
		})
	}
}

func TestOpenWaitsAWhileForTheOpenerThatWon(t *testing.T) {
	t.Parallel()
	loading := draft()
	loading.EpochState = coupon.EpochLoading
	for name, looks := range map[string]int{"that is slow": 10, "that died": 1000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := &stores{onBegin: fails, onCampaign: func(look int) (coupon.Campaign, error) {
					if look < looks {
						return loading, nil
					}
					return open(), nil
				}}
				err := s.open(t)
				if looks == 10 {
					require.NoError(t, err)
					require.Equal(t, []string{"begin redis", "open"}, s.calls)
					return
				}
				require.ErrorIs(t, err, errAway)
				require.Equal(t, racePatience, time.Since(began))
			})
		})
	}
}
