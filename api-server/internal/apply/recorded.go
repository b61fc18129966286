package apply

import (
	"context"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// recorded is what MySQL holds of some keys: their rows, and where the live failed events of the others stand.
type recorded struct {
	rows     map[coupon.Key]coupon.Coupon
	failures map[coupon.Key]coupon.FailureStatus
}

// recorded asks for keys of one campaign. The failed events are read first: one that becomes a row in between is then seen
// twice, never missed.
func (s *Service) recorded(ctx context.Context, campaign string, keys []coupon.Key) (recorded, error) {
	failures, err := s.record.FailuresOf(ctx, campaign, keys)
	if err != nil {
		return recorded{}, err
	}
	coupons, err := s.record.CouponsOf(ctx, campaign, keys)
	if err != nil {
		return recorded{}, err
	}
	rows := make(map[coupon.Key]coupon.Coupon, len(coupons))
	for _, c := range coupons {
		rows[c.Key] = c
	}
	return recorded{rows: rows, failures: failures}, nil
}

// answer tells the claim of a key as MySQL knows it, and false when it knows none.
func (r recorded) answer(key coupon.Key) (Answer, bool) {
	if row, ok := r.rows[key]; ok {
		return Answer{Claim: row.Claim, Status: coupon.StatusIssued, Coupon: &row}, true
	}
	if failure, ok := r.failures[key]; ok {
		return Answer{Claim: coupon.Claim{Key: key}, Status: statusOf(failure)}, true
	}
	return Answer{}, false
}

func statusOf(failure coupon.FailureStatus) coupon.ClaimStatus {
	if failure == coupon.FailureParked {
		return coupon.StatusFailed
	}
	return coupon.StatusPending
}

// lookUp answers grants that their epoch does not confirm: from the row, else from the failed event. One that is in
// neither was never a promise, or is about to be one of the two.
func (s *Service) lookUp(batch []*ticket) {
	groups := make(map[string][]*ticket, 1)
	for _, t := range batch {
		groups[t.key.Campaign] = append(groups[t.key.Campaign], t)
	}
	for campaign, group := range groups {
		s.lookUpIn(campaign, group)
	}
}

func (s *Service) lookUpIn(campaign string, batch []*ticket) {
	due := s.dropLate(batch, lookUpDeadline)
	if len(due) == 0 {
		return
	}
	known, err := s.askRecord(context.Background(), campaign, keysOf(due))
	for _, t := range due {
		if a, ok := known.answer(t.key); err == nil && ok {
			s.tell(t, a)
			continue
		}
		s.finish(t, coupon.StatusPending)
	}
}

// answerHolders answers the users who have a claim in a campaign about which nobody decides; the others get otherwise.
func (s *Service) answerHolders(l *lane, waiting []*ticket, otherwise error) {
	known, err := s.askRecord(context.Background(), waiting[0].key.Campaign, keysOf(waiting))
	if err != nil {
		l.fellSilent()
		s.refuseAll(waiting, coupon.Unavailable("look up claims", err))
		return
	}
	for _, t := range waiting {
		a, ok := known.answer(t.key)
		if !ok {
			s.refuse(t, otherwise)
			continue
		}
		t.replayed = true
		s.tell(t, a)
	}
}

// askRecord asks a database that is not known to be away, and waits for it no longer than lookUpDeadline.
func (s *Service) askRecord(ctx context.Context, campaign string, keys []coupon.Key) (recorded, error) {
	if s.database.away() {
		return recorded{}, errNotReady
	}
	bounded, cancel := context.WithTimeout(ctx, lookUpDeadline)
	defer cancel()
	known, err := s.recorded(bounded, campaign, keys)
	if err != nil && ctx.Err() == nil { // a caller that left says nothing about the database
		s.database.failed(err)
	}
	return known, err
}
