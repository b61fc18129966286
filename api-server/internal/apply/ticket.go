package apply

import (
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

// ticket is one apply on its way through the stages. The stages own it until it is answered; the waiting request may be
// gone by then, and the grant is carried to its end all the same.
type ticket struct {
	key      coupon.Key
	lane     *lane
	arrived  time.Time
	claim    coupon.Claim
	replayed bool

	answered atomic.Bool
	answer   chan result // holds one, so answering never waits
}

type result struct {
	answer Answer
	err    error
}

// Answer is what a user is told about a claim.
type Answer struct {
	Claim    coupon.Claim
	Status   coupon.ClaimStatus
	Replayed bool
	Coupon   *coupon.Coupon // of an issued claim
}

// finish answers with the claim as it stands, unless the ticket was answered before.
func (s *Service) finish(t *ticket, status coupon.ClaimStatus) {
	s.answer(t, result{answer: Answer{Claim: t.claim, Status: status, Replayed: t.replayed}})
}

func (s *Service) finishAll(batch []*ticket, status coupon.ClaimStatus) {
	for _, t := range batch {
		s.finish(t, status)
	}
}

// issued answers with the user's row.
func (s *Service) issued(t *ticket, row coupon.Coupon) {
	s.tell(t, Answer{Claim: row.Claim, Status: coupon.StatusIssued, Coupon: &row})
}

// tell answers with what the record said of the claim. A row of another serial is no first answer: it is that of another
// apply of the same user, granted by the next epoch while this one was on its way.
func (s *Service) tell(t *ticket, a Answer) {
	another := t.claim.Serial != 0 && a.Coupon != nil && a.Claim.Serial != t.claim.Serial
	a.Replayed = t.replayed || another
	s.answer(t, result{answer: a})
}

func (s *Service) refuse(t *ticket, err error) { s.answer(t, result{err: err}) }

func (s *Service) refuseAll(batch []*ticket, err error) {
	for _, t := range batch {
		s.refuse(t, err)
	}
}

func (s *Service) answer(t *ticket, r result) {
	if t.answered.Swap(true) {
		return
	}
	if r.err == nil {
		s.metrics.answers.With(r.answer.Status).Inc()
	}
	t.answer <- r
	failpoint.Hit(failpoint.Answered)
	s.inFlight.answered()
}
