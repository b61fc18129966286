package apply

import (
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// ticket is one apply on its way through the stages. The stages own it until finish; the waiting request may be gone by
// then, and the grant is carried to its end all the same.
type ticket struct {
	key      coupon.Key
	claim    coupon.Claim
	replayed bool
	ackedAt  time.Time
	answer   chan result // holds one, so finish never waits
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

func (t *ticket) finish(status coupon.ClaimStatus) {
	t.answer <- result{answer: Answer{Claim: t.claim, Status: status, Replayed: t.replayed}}
}

func (t *ticket) issued(c coupon.Coupon) {
	t.answer <- result{answer: Answer{Claim: c.Claim, Status: coupon.StatusIssued, Replayed: t.replayed, Coupon: &c}}
}

func (t *ticket) refuse(err error) {
	t.answer <- result{err: err}
}
