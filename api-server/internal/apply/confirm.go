package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/pkg/planted"
)

// confirm is the third stage: one read of MySQL for every grant acked before it starts. Only "still active, same epoch"
// makes a durable grant binding; no clock and no lease is involved.
func (s *Service) confirm(batch []*ticket) {
	due := s.dropLate(batch, confirmDeadline)
	if len(due) == 0 {
		return
	}
	if planted.On(planted.NoConfirm) {
		s.finishAll(due, coupon.StatusAccepted)
		return
	}
	if s.database.away() {
		s.finishAll(due, coupon.StatusPending)
		return
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), confirmDeadline)
	defer cancel()
	standings, err := s.record.Standings(ctx, campaignsOf(due))
	s.metrics.confirmSeconds.Observe(time.Since(start).Seconds())
	failpoint.Hit(failpoint.Confirmed)
	if err != nil {
		s.database.failed(err)
		s.finishAll(due, coupon.StatusPending)
		return
	}
	for _, t := range due {
		if standings[t.key.Campaign].Confirms(t.claim.Epoch) {
			s.finish(t, coupon.StatusAccepted)
			continue
		}
		s.view.Reload()
		s.lookUps.add(t)
	}
}

// dropLate answers the tickets that a call which takes its whole deadline would keep too long.
func (s *Service) dropLate(batch []*ticket, deadline time.Duration) []*ticket {
	now := time.Now()
	due := batch[:0]
	for _, t := range batch {
		if now.Sub(t.arrived)+deadline > latestAnswer {
			s.finish(t, coupon.StatusPending) // perhaps durable, but not known to be binding
			continue
		}
		due = append(due, t)
	}
	return due
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
