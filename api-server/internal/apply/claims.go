package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// readDeadline bounds what a user's question about their claims may take.
const readDeadline = 2 * time.Second

var errClaimNotFound = coupon.NewError(coupon.CodeClaimNotFound, "")

// Claim returns the user's n-th claim as it stands: issued from its row, failed from its failed event, else what Redis
// remembers of it. The error is errClaimNotFound when no store knows it, unavailable when not all could be asked.
func (s *Service) Claim(ctx context.Context, key coupon.Key) (Answer, error) {
	campaign, ok := s.view.Campaign(key.Campaign)
	if !ok {
		return Answer{}, errCampaignNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, readDeadline)
	defer cancel()
	row, found, err := s.record.Coupon(ctx, key)
	if err == nil && found {
		return Answer{Claim: row.Claim, Status: coupon.StatusIssued, Coupon: &row}, nil
	}
	recordErr := err
	decisions, err := s.stock.Held(ctx, key.Campaign, campaign.Epoch, []coupon.Key{key})
	if err != nil {
		return Answer{}, coupon.Unavailable("read claim", err)
	}
	held := decisions[0].Verdict == coupon.Held
	if recordErr != nil {
		if held { // known to be taken, and nothing more can be said without MySQL
			return Answer{Claim: decisions[0].Claim, Status: coupon.StatusPending}, nil
		}
		return Answer{}, coupon.Unavailable("read claim", recordErr)
	}
	return s.unissued(ctx, key, decisions[0], held)
}

// unissued tells a claim that has no row: failed, accepted, pending, or none.
func (s *Service) unissued(ctx context.Context, key coupon.Key, d coupon.Decision, held bool) (Answer, error) {
	failure, failed, err := s.record.Failure(ctx, key)
	if err != nil {
		return Answer{}, coupon.Unavailable("read claim", err)
	}
	claim := d.Claim
	claim.Key = key
	switch {
	case failed && failure == coupon.FailureParked:
		return Answer{Claim: claim, Status: coupon.StatusFailed}, nil
	case failed:
		return Answer{Claim: claim, Status: coupon.StatusPending}, nil
	case !held:
		return Answer{}, errClaimNotFound
	case !d.Mark.Durable():
		return Answer{Claim: claim, Status: coupon.StatusPending}, nil
	}
	standings, err := s.record.Standings(ctx, []string{key.Campaign})
	if err != nil || !standings[key.Campaign].Confirms(claim.Epoch) {
		return Answer{Claim: claim, Status: coupon.StatusPending}, nil
	}
	return Answer{Claim: claim, Status: coupon.StatusAccepted}, nil
}

// Claims returns the user's claims of a campaign, in the order of n.
func (s *Service) Claims(ctx context.Context, campaign, user string) ([]Answer, error) {
	c, ok := s.view.Campaign(campaign)
	if !ok {
		return nil, errCampaignNotFound
	}
	var answers []Answer
	for n := 1; n <= c.PerUserLimit; n++ {
		a, err := s.Claim(ctx, coupon.Key{Campaign: campaign, User: user, N: n})
		if err == nil {
			answers = append(answers, a)
			continue
		}
		if coupon.CodeOf(err) != coupon.CodeClaimNotFound {
			return nil, err
		}
	}
	return answers, nil
}
