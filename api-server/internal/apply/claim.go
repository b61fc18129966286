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

// lane is the queue of one campaign before Redis.
type lane struct {
	batcher[*ticket]
	campaign *coupon.Campaign // as known when the lane was made; the view has it fresher, as long as it has it
	silentAt time.Time        // when a call last failed; only the draining goroutine uses it
}

func (s *Service) lane(campaign *coupon.Campaign) *lane {
	if l, ok := s.lanes.Load(campaign.ID); ok {
		return l.(*lane)
	}
	fresh := &lane{campaign: campaign}
	fresh.batcher = batcher[*ticket]{
		max:    s.limits.Batch,
		handle: func(batch []*ticket) { s.claim(fresh, batch) },
		rescue: s.rescueUnclaimed,
	}
	l, _ := s.lanes.LoadOrStore(campaign.ID, fresh)
	return l.(*lane)
}

// rescueUnclaimed answers tickets whose claim stage panicked. Some may be granted: their users' repeats, or the sweep,
// find the claim.
func (s *Service) rescueUnclaimed(batch []*ticket, panicked any) {
	s.logPanic(panicked)
	s.refuseAll(batch, errNotReady)
}

// claim is the first stage: one call to Redis for all that wait at this campaign.
func (s *Service) claim(l *lane, batch []*ticket) {
	waiting := s.refuseOverdue(l, batch)
	if len(waiting) == 0 {
		return
	}
	s.metrics.claimBatch.Observe(float64(len(waiting)))
	campaign, ok := s.view.Campaign(l.campaign.ID)
	if !ok {
		campaign = l.campaign
	}
	keys := make([]coupon.Key, len(waiting))
	for i, t := range waiting {
		keys[i] = t.key
	}
	ctx, cancel := context.WithTimeout(context.Background(), claimDeadline)
	defer cancel()
	decisions, err := s.stock.Claim(ctx, campaign.ID, campaign.Epoch, keys)
	if err != nil {
		// The script may have run. The grant, if there is one, waits in pending for the sweep or the user's repeat.
		l.silentAt = time.Now()
		s.refuseAll(waiting, coupon.Unavailable("claim", err))
		return
	}
	for i, t := range waiting {
		s.decide(t, decisions[i], campaign)
	}
}

// refuseOverdue answers the tickets that came while a call was failing: Redis was silent for them too, and a queue of
// calls that each wait out their deadline would keep the last of them for seconds.
func (s *Service) refuseOverdue(l *lane, batch []*ticket) []*ticket {
	waiting := batch[:0]
	for _, t := range batch {
		if t.arrived.Before(l.silentAt) {
			s.refuse(t, errNotReady)
			continue
		}
		waiting = append(waiting, t)
	}
	return waiting
}

func (s *Service) decide(t *ticket, d coupon.Decision, campaign *coupon.Campaign) {
	switch d.Verdict {
	case coupon.Granted, coupon.Held:
		t.claim = d.Claim
		t.replayed = d.Verdict == coupon.Held
		s.makeDurable(t, d.Mark)
	case coupon.WrongEpoch, coupon.Unsealed, coupon.Broken:
		s.view.Reload()
		s.refuse(t, errNotReady)
	default:
		s.refuse(t, refusal(d.Verdict, campaign))
	}
}

func refusal(v coupon.Verdict, campaign *coupon.Campaign) error {
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
		return &coupon.Error{Code: coupon.CodeCampaignNotStarted, StartsAt: campaign.StartsAt}
	default:
		return errNotReady
	}
}

// makeDurable is the second stage. A claim that is not known to be in the log is published, again if need be: helping
// costs a duplicate, waiting for another server could cost the grant.
func (s *Service) makeDurable(t *ticket, mark coupon.Mark) {
	if mark == coupon.MarkCarried {
		t.ackedAt = time.Now()
		s.lookUps.add(t)
		return
	}
	if mark.Durable() {
		t.ackedAt = time.Now()
		s.confirms.add(t)
		return
	}
	s.publisher.Publish(t.claim, time.Now().Add(publishDeadline), func(err error) { s.published(t, err) })
}

func (s *Service) published(t *ticket, err error) {
	if err != nil {
		s.finish(t, coupon.StatusPending) // unknown: the entry stays in pending and is never released
		return
	}
	t.ackedAt = time.Now()
	s.inFlight.acked()
	s.forgets.add(t.claim)
	s.confirms.add(t)
}

// forget takes acked claims out of pending, one script for each epoch in the batch. What it cannot reach is published
// once more by the sweep, which is harmless.
func (s *Service) forget(batch []coupon.Claim) {
	defer s.inFlight.forgot(len(batch))
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
