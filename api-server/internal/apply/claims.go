package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// readDeadline bounds what a user's question about their claims may take.
const readDeadline = 2 * time.Second

var errClaimNotFound = coupon.NewError(coupon.CodeClaimNotFound, "")

// Claim returns the user's n-th claim as it stands. The error is claim_not_found only when every store that could know of
// it said no; else, unavailable.
func (s *Service) Claim(ctx context.Context, key coupon.Key) (Answer, error) {
	answers, err := s.claimsOf(ctx, key.Campaign, key.User, func(*coupon.Campaign) []int { return []int{key.N} })
	if err != nil {
		return Answer{}, err
	}
	if len(answers) == 0 {
		return Answer{}, errClaimNotFound
	}
	return answers[0], nil
}

// Claims returns the user's claims of a campaign, in the order of n.
func (s *Service) Claims(ctx context.Context, campaign, user string) ([]Answer, error) {
	return s.claimsOf(ctx, campaign, user, func(c *coupon.Campaign) []int {
		all := make([]int, c.PerUserLimit)
		for i := range all {
			all[i] = i + 1
		}
		return all
	})
}

// claimsOf tells the claims of a user that exist among the wanted ones: issued from the row, else what Redis remembers.
// Without MySQL a claim that Redis holds is pending, and nothing is said of any other.
func (s *Service) claimsOf(ctx context.Context, campaign, user string, wanted func(*coupon.Campaign) []int) ([]Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, readDeadline)
	defer cancel()
	c, err := s.view.Find(ctx, campaign)
	if err != nil {
		return nil, err
	}
	rows, recordErr := s.record.Coupons(ctx, campaign, user)
	var answers []Answer
	var open []coupon.Key
	for _, n := range wanted(c) {
		if row, found := rowOf(rows, n); found {
			answers = append(answers, Answer{Claim: row.Claim, Status: coupon.StatusIssued, Coupon: &row})
			continue
		}
		open = append(open, coupon.Key{Campaign: campaign, User: user, N: n})
	}
	if len(open) == 0 || c.Epoch == 0 {
		return answers, nil
	}
	decisions, err := s.stock.Held(ctx, campaign, c.Epoch, open)
	if err != nil {
		return nil, coupon.Unavailable("read claims", err)
	}
	unissued, err := s.unissued(ctx, decisions, recordErr)
	return merge(answers, unissued), err
}

// unissued tells the claims that Redis holds and that have no row: failed, accepted or pending.
func (s *Service) unissued(ctx context.Context, decisions []coupon.Decision, recordErr error) ([]Answer, error) {
	var answers []Answer
	for _, d := range decisions {
		switch {
		case d.Verdict == coupon.Broken:
			return nil, errNotReady
		case d.Verdict != coupon.Held && recordErr != nil:
			return nil, coupon.Unavailable("read claims", recordErr)
		case d.Verdict != coupon.Held:
			continue
		}
		status := coupon.StatusPending
		if recordErr == nil {
			var err error
			if status, err = s.statusOf(ctx, d); err != nil {
				return nil, coupon.Unavailable("read claims", err)
			}
		}
		answers = append(answers, Answer{Claim: d.Claim, Status: status})
	}
	return answers, nil
}

func (s *Service) statusOf(ctx context.Context, d coupon.Decision) (coupon.ClaimStatus, error) {
	failure, failed, err := s.record.Failure(ctx, d.Claim.Key)
	if err != nil {
		return "", err
	}
	if failed && failure == coupon.FailureParked {
		return coupon.StatusFailed, nil
	}
	if failed || !d.Mark.Durable() {
		return coupon.StatusPending, nil
	}
	standings, err := s.record.Standings(ctx, []string{d.Claim.Campaign})
	if err != nil || !standings[d.Claim.Campaign].Confirms(d.Claim.Epoch) {
		return coupon.StatusPending, nil
	}
	return coupon.StatusAccepted, nil
}

// merge puts two lists, each in the order of n, into one.
func merge(a, b []Answer) []Answer {
	merged := make([]Answer, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Claim.N < b[0].Claim.N {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	return append(append(merged, a...), b...)
}
