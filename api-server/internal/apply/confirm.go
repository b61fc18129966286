package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// confirm is the third stage: one read of MySQL for every grant acked before it starts. Only "still active, same epoch"
// makes a durable grant binding; no clock and no lease is involved.
func (s *Service) confirm(batch []*ticket) {
	now := time.Now()
	due := batch[:0]
	for _, t := range batch {
		if now.Sub(t.ackedAt) >= confirmDeadline {
			s.finish(t, coupon.StatusPending) // MySQL is silent: durable, but not known to be binding
			continue
		}
		due = append(due, t)
	}
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), due[0].ackedAt.Add(confirmDeadline))
	defer cancel()
	standings, err := s.record.Standings(ctx, campaignsOf(due))
	s.metrics.confirmSeconds.Observe(time.Since(now).Seconds())
	for _, t := range due {
		switch {
		case err != nil:
			s.finish(t, coupon.StatusPending)
		case standings[t.key.Campaign].Confirms(t.claim.Epoch):
			s.finish(t, coupon.StatusAccepted)
		default:
			s.view.Reload()
			go s.lookUp(t)
		}
	}
}

// lookUp answers from the row when the epoch no longer confirms the claim.
func (s *Service) lookUp(t *ticket) {
	ctx, cancel := context.WithTimeout(context.Background(), confirmDeadline)
	defer cancel()
	c, found, err := s.record.Coupon(ctx, t.key)
	if err != nil || !found {
		s.finish(t, coupon.StatusPending)
		return
	}
	s.metrics.answers.With(coupon.StatusIssued).Inc()
	t.issued(c)
	s.inFlight.Done()
}

func campaignsOf(batch []*ticket) []string {
	seen := make(map[string]struct{}, 1)
	ids := make([]string, 0, 1)
	for _, t := range batch {
		if _, ok := seen[t.key.Campaign]; !ok {
			seen[t.key.Campaign] = struct{}{}
			ids = append(ids, t.key.Campaign)
		}
	}
	return ids
}
