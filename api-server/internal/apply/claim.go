package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/pkg/planted"
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

// question is what a claim call asks of one campaign.
type question struct {
	lane     *lane
	campaign *coupon.Campaign
	waiting  []*ticket
}

// claim asks Redis, and reports whether somebody's answer was waited for in vain. While neither the log nor the database could
// make a grant durable, nobody is granted anything.
func (s *Service) claim(questions []question) (late bool) {
	if len(questions) == 0 {
		return false
	}
	if s.database.away() && s.log.away() {
		s.probeLog()
		for _, q := range questions {
			s.refuseAll(q.waiting, errNotReady)
		}
		return false
	}
	batches, claims := batchesOf(questions)
	s.metrics.claimBatch.Observe(float64(claims))
	ctx, cancel := context.WithTimeout(context.Background(), claimDeadline)
	defer cancel()
	asked, period := time.Now(), s.trouble.Load()
	failpoint.Hit(failpoint.ScriptSent) // dying before the call and while it runs are one case: what it did is unknown
	decided := s.stock.ClaimAll(ctx, batches)
	failpoint.Hit(failpoint.ScriptReplied)
	for i, q := range questions {
		if decided[i].Err != nil {
			// The script may have run. The grant, if there is one, waits in pending for the sweep or the user's repeat.
			s.claimFailed(q, coupon.Unavailable("claim", decided[i].Err))
			late = late || ctx.Err() != nil
			continue
		}
		q.lane.heardIn.Store(period)
		s.decideAll(q, decided[i].Decisions, asked)
	}
	return late
}

func batchesOf(questions []question) (batches []coupon.Batch, claims int) {
	batches = make([]coupon.Batch, len(questions))
	for i, q := range questions {
		batches[i] = coupon.Batch{EpochRef: q.campaign.Ref(), Keys: keysOf(q.waiting)}
		claims += len(q.waiting)
	}
	return batches, claims
}

// decideAll keeps a panic to its campaign: the others of the call must not die with it.
func (s *Service) decideAll(q question, decisions []coupon.Decision, asked time.Time) {
	defer func() {
		if p := recover(); p != nil {
			s.rescueUnclaimed(q.waiting, p)
		}
	}()
	q.lane.memory.Heard(q.campaign, decisions, asked)
	for i, t := range q.waiting {
		s.decide(t, decisions[i], q.campaign)
	}
}

// claimFailed answers those who were not heard. A closed campaign grants nothing any more, so a row or a live failed event
// says all that Redis could say.
func (s *Service) claimFailed(q question, err error) {
	if q.campaign.Status == coupon.CampaignClosed {
		s.answerHolders(q.lane, q.waiting, err)
		return
	}
	q.lane.fellSilent()
	s.refuseAll(q.waiting, err)
}

func (s *Service) decide(t *ticket, d coupon.Decision, campaign *coupon.Campaign) {
	if d.Verdict != coupon.Granted && d.Verdict != coupon.Held {
		s.turnDown(t, d.Verdict, campaign)
		return
	}
	t.claim = d.Claim
	t.replayed = d.Verdict == coupon.Held
	s.makeDurable(t, d.Mark)
}

// makeDurable is the second stage. A claim that is not known to be in the log is published, again if need be: helping
// costs a duplicate, waiting for another server could cost the grant. While the log is away it is issued instead.
func (s *Service) makeDurable(t *ticket, mark coupon.Mark) {
	switch {
	case mark == coupon.MarkCarried:
		s.lookUps.add(t)
	case mark.Durable():
		s.confirms.add(t)
	case s.log.begin(time.Now(), t.claim):
		s.publish(t)
	default:
		s.probeLog()
		t.lane.directs.add(t)
	}
}

func (s *Service) publish(t *ticket) {
	s.publisher.Publish(t.claim, time.Now().Add(publishDeadline), func(err error) { s.published(t, err) })
	failpoint.Hit(failpoint.ProduceSent)
	if planted.On(planted.ForgetBeforeAck) {
		s.drop(t.claim)
	}
}

// published goes on with a claim that the log acknowledged. Of one that it did not acknowledge nothing is known: the entry
// stays in pending, is never released, and the row is made here and now.
func (s *Service) published(t *ticket, err error) {
	switch {
	case err == nil:
		failpoint.Hit(failpoint.AckRead)
		s.log.acked()
		s.drop(t.claim)
		s.confirms.add(t)
	case planted.On(planted.CompensateOnTimeout):
		s.drop(t.claim)
		s.refuse(t, errNotReady)
	default:
		if coupon.CodeOf(err) != coupon.CodeOverloaded { // a full producer says nothing about the log
			s.log.failed()
		}
		t.lane.directs.add(t)
	}
}

// probeLog publishes the claim that was tried last once more, if the log was not asked for a moment. It was granted, so an
// event more of it does no harm.
func (s *Service) probeLog() {
	now := time.Now()
	claim, due := s.log.probe(now)
	if !due {
		return
	}
	s.publisher.Publish(claim, now.Add(publishDeadline), func(err error) {
		if err == nil {
			s.log.acked()
		}
	})
}

// drop has a claim that the log or the database holds taken out of pending.
func (s *Service) drop(claim coupon.Claim) {
	s.inFlight.acked()
	s.forgets.add(claim)
}

// forget takes durable claims out of pending, a step of its own for each epoch in the batch. What it cannot reach is
// published once more by the sweep, which is harmless.
func (s *Service) forget(batch []coupon.Claim) {
	defer s.inFlight.forgot(len(batch))
	places := make(map[coupon.EpochRef]int, 1)
	var epochs []coupon.Batch
	for _, c := range batch {
		ref := coupon.EpochRef{Campaign: c.Campaign, Epoch: c.Epoch}
		at, known := places[ref]
		if !known {
			at = len(epochs)
			places[ref], epochs = at, append(epochs, coupon.Batch{EpochRef: ref})
		}
		epochs[at].Keys = append(epochs[at].Keys, c.Key)
	}
	ctx, cancel := context.WithTimeout(context.Background(), forgetDeadline)
	defer cancel()
	if err := s.stock.ForgetAll(ctx, epochs); err != nil {
		s.logger.Debug("durable claims stay in pending for the sweep", "claims", len(batch), "error", err)
	}
}

func keysOf(batch []*ticket) []coupon.Key {
	keys := make([]coupon.Key, len(batch))
	for i, t := range batch {
		keys[i] = t.key
	}
	return keys
}
