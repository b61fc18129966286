package fence

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

var errAway = errors.New("away")

// stores is both ports. It writes down the calls; a failure stands for a step that another opener, or nobody, did.
type stores struct {
	campaign   coupon.Campaign
	onCampaign func(look int) (coupon.Campaign, error)
	onBegin    func() error
	onPrepare  func() error
	onActivate func() error
	onOpen     func() error

	looks  int
	calls  []string
	opened coupon.Document
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

func (s *stores) BeginEpoch(_ context.Context, id string) (coupon.Document, error) {
	return coupon.Document{Campaign: id, Epoch: 1, Version: 2}, s.call("begin", s.onBegin)
}

func (s *stores) Prepare(context.Context, coupon.Document) error {
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
	return coupon.Campaign{ID: "winter", Status: coupon.CampaignActive, EpochState: coupon.EpochActive, Epoch: 1, Version: 9}
}

func fails() error { return errAway }

func TestOpenTakesTheStepsInOrder(t *testing.T) {
	t.Parallel()
	s := &stores{campaign: draft()}
	require.NoError(t, s.open(t))
	require.Equal(t, []string{"begin", "prepare", "activate", "open"}, s.calls)
	require.Equal(t, coupon.Document{Campaign: "winter", Epoch: 1, Version: 3, State: coupon.DocumentOpen}, s.opened)
}

func TestOpenFinishesWhatIsActive(t *testing.T) {
	t.Parallel()
	campaign := open()
	s := &stores{campaign: campaign}
	require.NoError(t, s.open(t))
	require.Equal(t, []string{"open"}, s.calls)
	require.Equal(t, campaign.Document(), s.opened)
}

func TestOpenStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	closed := draft()
	closed.Status = coupon.CampaignClosed
	cases := map[string]struct {
		stores stores
		calls  []string
	}{
		"begin":    {stores{campaign: draft(), onBegin: fails}, []string{"begin"}},
		"prepare":  {stores{campaign: draft(), onPrepare: fails}, []string{"begin", "prepare"}},
		"activate": {stores{campaign: draft(), onActivate: fails}, []string{"begin", "prepare", "activate"}},
		"open":     {stores{campaign: draft(), onOpen: fails}, []string{"begin", "prepare", "activate", "open"}},
		"reopen":   {stores{campaign: open(), onOpen: fails}, []string{"open"}},
		"look":     {stores{onCampaign: func(int) (coupon.Campaign, error) { return coupon.Campaign{}, errAway }}, nil},
		"second look": {stores{onBegin: fails, onCampaign: func(look int) (coupon.Campaign, error) {
			if look == 2 {
				return coupon.Campaign{}, context.Canceled
			}
			return draft(), nil
		}}, []string{"begin"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorIs(t, c.stores.open(t), errAway)
			require.Equal(t, c.calls, c.stores.calls)
		})
	}
	s := &stores{campaign: closed}
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(s.open(t)))
	require.Empty(t, s.calls)
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
			require.Equal(t, 2, s.looks, "it looks once more, not for ever")
		})
	}
}
