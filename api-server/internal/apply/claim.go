package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The refusals are made once: a drop answers with them a million times.
var (
	errCampaignNotFound = coupon.NewError(coupon.CodeCampaignNotFound, "")
	errPerUserLimit     = coupon.NewError(coupon.CodePerUserLimit, "")
	errOverloaded       = coupon.NewError(coupon.CodeOverloaded, "")
	errSoldOut          = coupon.NewError(coupon.CodeSoldOut, "")
	errEnded            = coupon.NewError(coupon.CodeCampaignEnded, "")
	errPaused           = coupon.NewError(coupon.CodeCampaignPaused, "")
	errNotReady         = coupon.NewError(coupon.CodeUnavailable, "")
)

// claim is the first stage: one call to Redis for all that wait at this campaign.
func (s *Service) claim(campaign string, batch []*ticket) {
	s.metrics.claimBatch.Observe(float64(len(batch)))
	view, ok := s.view.Campaign(campaign)
	if !ok {
		s.refuseAll(batch, errCampaignNotFound)
		return
	}
	keys := make([]coupon.Key, len(batch))
	for i, t := range batch {
		keys[i] = t.key
	}
	ctx, cancel := context.WithTimeout(context.Background(), claimDeadline)
	defer cancel()
	decisions, err := s.stock.Claim(ctx, campaign, view.Epoch, keys)
	if err != nil {
		// The script may have run. The grant, if there is one, waits in pending for the sweep or the user's repeat.
		s.refuseAll(batch, coupon.Unavailable("claim", err))
		return
	}
	for i, t := range batch {
		s.decide(t, decisions[i], view)
	}
}

func (s *Service) decide(t *ticket, d coupon.Decision, view *coupon.Campaign) {
	switch d.Verdict {
	case coupon.Granted, coupon.Held:
		t.claim = d.Claim
		t.replayed = d.Verdict == coupon.Held
		s.makeDurable(t, d.Mark)
	case coupon.WrongEpoch, coupon.Unsealed, coupon.Broken:
		s.view.Reload()
		s.refuse(t, errNotReady)
	default:
		s.refuse(t, refusal(d.Verdict, view))
	}
}

func refusal(v coupon.Verdict, view *coupon.Campaign) error {
	switch v {
	case coupon.RefusedSoldOut:
		return errSoldOut
	case coupon.RefusedEnded:
		return errEnded
	case coupon.RefusedPaused:
		return errPaused
	case coupon.RefusedPerUserLimit:
		return errPerUserLimit
	case coupon.RefusedNotStarted:
		return &coupon.Error{Code: coupon.CodeCampaignNotStarted, StartsAt: view.StartsAt}
	default:
		return errNotReady
	}
}

// makeDurable is the second stage. A claim that is not known to be in the log is published, again if need be: helping
// costs a duplicate, waiting for another server could cost the grant.
func (s *Service) makeDurable(t *ticket, mark coupon.Mark) {
	if mark == coupon.MarkCarried {
		go s.lookUp(t)
		return
	}
	if mark.Durable() {
		t.ackedAt = time.Now()
		s.confirms.add(t)
		return
	}
	s.publisher.Publish(t.claim, time.Now().Add(publishDeadline), func(err error) {
		if err != nil {
			// Unknown: the entry stays in pending and is never released.
			s.finish(t, coupon.StatusPending)
			return
		}
		t.ackedAt = time.Now()
		s.inFlight.Add(1)
		s.forgets.add(t.claim)
		s.confirms.add(t)
	})
}

// forget takes acked claims out of pending, one script for each epoch in the batch. What it cannot reach is published
// once more by the sweep, which is harmless.
func (s *Service) forget(batch []coupon.Claim) {
	defer s.inFlight.Add(-len(batch))
	type epoch struct {
		campaign string
		number   int64
	}
	groups := make(map[epoch][]coupon.Key, 1)
	for _, c := range batch {
		e := epoch{c.Campaign, c.Epoch}
		groups[e] = append(groups[e], c.Key)
	}
	for e, keys := range groups {
		ctx, cancel := context.WithTimeout(context.Background(), forgetDeadline)
		if err := s.stock.Forget(ctx, e.campaign, e.number, keys); err != nil {
			s.logger.Debug("acked claims stay in pending for the sweep", "campaign", e.campaign, "claims", len(keys), "error", err)
		}
		cancel()
	}
}

func (s *Service) finish(t *ticket, status coupon.ClaimStatus) {
	s.metrics.answers.With(status).Inc()
	t.finish(status)
	s.inFlight.Done()
}

func (s *Service) refuse(t *ticket, err error) {
	t.refuse(err)
	s.inFlight.Done()
}

func (s *Service) refuseAll(batch []*ticket, err error) {
	for _, t := range batch {
		s.refuse(t, err)
	}
}
