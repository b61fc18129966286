package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// claimInSQL is the first stage of a campaign in mode sql, and the last: the database decides, and the answer is the row.
func (s *Service) claimInSQL(l *lane, campaign *coupon.Campaign, waiting []*ticket) {
	if s.database.away() {
		s.refuseAll(waiting, errNotReady)
		return
	}
	wishes := make([]coupon.Claim, len(waiting))
	for i, t := range waiting {
		wishes[i] = coupon.Claim{Key: t.key, Epoch: campaign.Epoch}
	}
	settled, err := s.settle(campaign.Ref(), wishes, sqlDeadline)
	if err != nil {
		// The transaction may have been committed: the user's repeat finds the row.
		l.fellSilent()
		s.refuseAll(waiting, coupon.Unavailable("issue", err))
		return
	}
	for i, t := range waiting {
		s.answerWish(t, settled[i], campaign)
	}
}

func (s *Service) answerWish(t *ticket, settled coupon.Settled, campaign *coupon.Campaign) {
	if settled.Verdict != coupon.Granted && settled.Verdict != coupon.Held {
		s.turnDown(t, settled.Verdict, campaign)
		return
	}
	t.claim = coupon.Claim{Key: t.key}
	t.replayed = settled.Verdict == coupon.Held
	if settled.Coupon != nil {
		s.issued(t, *settled.Coupon)
		return
	}
	s.finish(t, settled.Status)
}

// issueDirect is the second stage while the log is away: the grants become rows here and now. Whatever a batch mixes, an
// epoch has a transaction of its own.
func (s *Service) issueDirect(batch []*ticket) {
	for len(batch) > 0 {
		n := 1
		for n < len(batch) && batch[n].claim.Epoch == batch[0].claim.Epoch {
			n++
		}
		s.issueGrants(batch[:n])
		batch = batch[n:]
	}
}

func (s *Service) issueGrants(batch []*ticket) {
	due := s.dropLate(batch, directDeadline)
	if len(due) == 0 {
		return
	}
	if s.database.away() {
		s.finishAll(due, coupon.StatusPending)
		return
	}
	claims := make([]coupon.Claim, len(due))
	for i, t := range due {
		claims[i] = t.claim
	}
	ref := coupon.EpochRef{Campaign: claims[0].Campaign, Epoch: claims[0].Epoch}
	settled, err := s.settle(ref, claims, directDeadline)
	if err != nil {
		s.finishAll(due, coupon.StatusPending) // perhaps rows; if not, the sweep brings them to the log
		return
	}
	for i, t := range due {
		s.answerGrant(t, settled[i])
	}
}

// answerGrant tells a grant as the database settled it. A row with its serial is as durable as an ack.
func (s *Service) answerGrant(t *ticket, settled coupon.Settled) {
	switch {
	case settled.Coupon != nil:
		if settled.Coupon.Serial == t.claim.Serial {
			s.drop(t.claim)
		}
		s.issued(t, *settled.Coupon)
	case settled.Verdict == coupon.Held:
		s.finish(t, settled.Status)
	case settled.Verdict == coupon.WrongEpoch:
		s.view.Reload()
		s.lookUps.add(t)
	default:
		s.finish(t, coupon.StatusPending) // a wall held it back: the sweep publishes it, and the consumer parks it
	}
}

// settle has claims of one epoch issued in one transaction. After an error nothing is known of any of them.
func (s *Service) settle(ref coupon.EpochRef, claims []coupon.Claim, deadline time.Duration) ([]coupon.Settled, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	settled, err := s.record.Direct(ctx, ref.Campaign, ref.Epoch, claims)
	if err != nil {
		s.database.failed(err)
		return nil, err
	}
	for _, one := range settled {
		if one.Verdict == coupon.Granted {
			s.metrics.directIssued.Inc()
		}
	}
	return settled, nil
}
