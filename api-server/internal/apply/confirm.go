package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// confirm is the third stage: one read of MySQL for every grant acked before it starts. Only "still active, same epoch"
// makes a durable grant binding; no clock and no lease is involved.
func (s *Service) confirm(batch []*ticket) {
	start := time.Now()
	due := s.dropLate(batch, start)
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmDeadline)
	defer cancel()
	standings, err := s.record.Standings(ctx, campaignsOf(due))
	s.metrics.confirmSeconds.Observe(time.Since(start).Seconds())
	for _, t := range due {
		switch {
		case err != nil:
			s.finish(t, coupon.StatusPending)
		case standings[t.key.Campaign].Confirms(t.claim.Epoch):
			s.finish(t, coupon.StatusAccepted)
		default:
			s.view.Reload()
			s.lookUps.add(t)
		}
	}
}

// lookUp answers from the row where the epoch does not confirm the claim.
func (s *Service) lookUp(batch []*ticket) {
	ctx, cancel := context.WithTimeout(context.Background(), confirmDeadline)
	defer cancel()
	for _, t := range s.dropLate(batch, time.Now()) {
		rows, err := s.record.Coupons(ctx, t.key.Campaign, t.key.User)
		row, found := rowOf(rows, t.key.N)
		if err != nil || !found {
			s.finish(t, coupon.StatusPending)
			continue
		}
		s.issued(t, row)
	}
}

// dropLate answers the tickets that waited a whole deadline already: MySQL is silent, or there is too much to ask.
func (s *Service) dropLate(batch []*ticket, now time.Time) []*ticket {
	due := batch[:0]
	for _, t := range batch {
		if now.Sub(t.ackedAt) >= confirmDeadline {
			s.finish(t, coupon.StatusPending) // durable, but not known to be binding
			continue
		}
		due = append(due, t)
	}
	return due
}

func rowOf(rows []coupon.Coupon, n int) (coupon.Coupon, bool) {
	for _, row := range rows {
		if row.N == n {
			return row, true
		}
	}
	return coupon.Coupon{}, false
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
