package apply

import (
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/api-server/internal/soldout"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/planted"
)

// lane is what one campaign has of its own.
type lane struct {
	waiting []*ticket // for the claim call of all campaigns; its turns guard it
	taken   []*ticket // from waiting, by the call under way

	alone   batcher[*ticket] // claims that must not keep other campaigns waiting
	directs batcher[*ticket] // grants past a log that is away; bounded by the applies that may be in flight
	memory  *soldout.Memory

	known    atomic.Pointer[coupon.Campaign] // as the last apply found it; the view has it fresher, as long as it has it
	silentAt atomic.Pointer[time.Time]       // when a call last failed; nil when none did
	heardIn  atomic.Int64                    // the period in which Redis last answered: Service.trouble as it was then
	soldOut  atomic.Bool                     // only a planted bug reads it
}

func (s *Service) lane(campaign *coupon.Campaign) *lane {
	found, ok := s.lanes.Load(campaign.ID)
	if !ok {
		found, _ = s.lanes.LoadOrStore(campaign.ID, s.newLane())
	}
	l := found.(*lane)
	if l.known.Load() != campaign {
		l.known.Store(campaign)
	}
	return l
}

func (s *Service) newLane() *lane {
	l := &lane{memory: s.soldOut.Memory()}
	l.alone = batcher[*ticket]{
		max:    s.limits.Batch,
		handle: func(batch []*ticket) { s.decideAlone(l, batch) },
		rescue: s.rescueUnclaimed,
	}
	l.directs = batcher[*ticket]{max: directBatch, handle: s.issueDirect, rescue: s.rescueGranted}
	return l
}

// fellSilent remembers that a call failed.
func (l *lane) fellSilent() {
	now := time.Now()
	l.silentAt.Store(&now)
}

// refusesFromMemory reports whether an apply can be told sold_out without asking Redis. It neither waits nor allocates.
func (s *Service) refusesFromMemory(key coupon.Key, arrived time.Time) bool {
	campaign, asOf, ok := s.view.dated(key.Campaign)
	if !ok {
		return false
	}
	l, ok := s.lanes.Load(campaign.ID)
	if !ok || !l.(*lane).memory.Refuses(campaign, asOf, arrived, key) {
		return false
	}
	s.metrics.fromMemory.Inc()
	return true
}

// rescueUnclaimed answers tickets whose claim stage panicked. Some may be granted: their users' repeats, or the sweep,
// find the claim.
func (s *Service) rescueUnclaimed(batch []*ticket, panicked any) {
	s.logPanic(panicked)
	s.refuseAll(batch, errNotReady)
}

// decideTogether is the first stage: one round trip for all that wait at all campaigns, a step of its own for each of them.
// Whoever may need more than a call that Redis answers at once goes alone.
func (s *Service) decideTogether(lanes []*lane) {
	questions := make([]question, 0, len(lanes))
	for _, l := range lanes {
		campaign := s.campaignOf(l)
		if !s.goesTogether(l, campaign) {
			l.alone.add(l.taken...)
			continue
		}
		if waiting := s.refuseOverdue(l, l.taken); len(waiting) > 0 {
			questions = append(questions, question{l, campaign, waiting})
		}
	}
	if s.claim(questions) {
		s.trouble.Add(1)
	}
}

// goesTogether reports whether a campaign's claims may share a call with others. After a shared call ran out of time each
// campaign goes alone until it is heard again, so that a node of a cluster that is away keeps the others waiting once; and one
// whose call failed goes alone for a while, so that a node that comes and goes does not keep them waiting again and again.
// A closed campaign goes alone because the database may have to answer for Redis.
func (s *Service) goesTogether(l *lane, campaign *coupon.Campaign) bool {
	if !asksRedis(campaign) || campaign.Status == coupon.CampaignClosed || l.heardIn.Load() != s.trouble.Load() {
		return false
	}
	silentAt := l.silentAt.Load()
	return silentAt == nil || time.Since(*silentAt) >= rejoinAfter
}

// decideAlone is the first stage of a campaign that keeps nobody else waiting.
func (s *Service) decideAlone(l *lane, batch []*ticket) {
	waiting := s.refuseOverdue(l, batch)
	if len(waiting) == 0 {
		return
	}
	campaign := s.campaignOf(l)
	switch {
	case asksRedis(campaign):
		s.claim([]question{{l, campaign, waiting}})
	case retired(campaign):
		s.answerHolders(l, waiting, errEnded)
	case campaign.EpochState == coupon.EpochActive:
		s.claimInSQL(l, campaign, waiting)
	default:
		s.answerHolders(l, waiting, errNotReady) // on its way to another epoch: nobody decides
	}
}

// campaignOf asks the view for each batch, so that a lane follows its campaign from one mode to the other.
func (s *Service) campaignOf(l *lane) *coupon.Campaign {
	last := l.known.Load()
	if campaign, ok := s.view.Campaign(last.ID); ok {
		return campaign
	}
	return last
}

// asksRedis reports whether Redis decides about the campaign.
func asksRedis(c *coupon.Campaign) bool { return !retired(c) && c.Mode != coupon.ModeSQL }

// retired reports whether nobody decides about the campaign any more: it is closed, and so is its last epoch. The log of
// that epoch was drained first, so all its claims are rows or failed events.
func retired(c *coupon.Campaign) bool {
	return c.Status == coupon.CampaignClosed && c.EpochState == coupon.EpochClosed
}

// refuseOverdue answers the tickets that came while a call was failing: the store was silent for them too, and a queue of
// calls that each wait out their deadline would keep the last of them for seconds. And those that would be answered late.
func (s *Service) refuseOverdue(l *lane, batch []*ticket) []*ticket {
	now := time.Now()
	waiting := batch[:0]
	silentAt := l.silentAt.Load()
	for _, t := range batch {
		switch {
		case planted.On(planted.SoldOutForEver) && l.soldOut.Load():
			s.refuse(t, errSoldOut)
		case silentAt != nil && t.arrived.Before(*silentAt):
			s.refuse(t, errNotReady)
		case now.Sub(t.arrived) > claimPatience:
			s.refuse(t, errOverloaded)
		default:
			waiting = append(waiting, t)
		}
	}
	return waiting
}

// turnDown refuses a ticket as its verdict says. A verdict that contradicts the view has it read again.
func (s *Service) turnDown(t *ticket, v coupon.Verdict, campaign *coupon.Campaign) {
	if v == coupon.WrongEpoch || v == coupon.Unsealed || v == coupon.Broken {
		s.view.Reload()
	}
	if planted.On(planted.SoldOutForEver) && v == coupon.RefusedSoldOut {
		t.lane.soldOut.Store(true)
	}
	s.refuse(t, refusal(v, campaign))
}

// refusal is what a verdict is told as. Between two epochs a Redis that nobody fenced judges by the one that ends, and who
// holds a claim of the next may be a stranger to it; of a closed campaign there is no next.
func refusal(v coupon.Verdict, campaign *coupon.Campaign) error {
	if campaign.EpochState != coupon.EpochActive && campaign.Status != coupon.CampaignClosed {
		return errNotReady
	}
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
