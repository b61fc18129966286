package apply

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// readDeadline bounds what a user's question about their claims may take.
const readDeadline = 1500 * time.Millisecond

var errClaimNotFound = coupon.NewError(coupon.CodeClaimNotFound, "")

// Claim returns the user's n-th claim as it stands. The error is claim_not_found only when every store that could know of
// it said no; else, unavailable.
func (s *Service) Claim(ctx context.Context, key coupon.Key) (Answer, error) {
	answers, err := s.claimsOf(ctx, key.Campaign, func(*coupon.Campaign) []coupon.Key { return []coupon.Key{key} })
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
	return s.claimsOf(ctx, campaign, func(c *coupon.Campaign) []coupon.Key {
		all := make([]coupon.Key, c.PerUserLimit)
		for i := range all {
			all[i] = coupon.Key{Campaign: campaign, User: user, N: i + 1}
		}
		return all
	})
}

// claimsOf tells those of the wanted claims that exist, in the order wanted.
func (s *Service) claimsOf(ctx context.Context, campaign string, wanted func(*coupon.Campaign) []coupon.Key) ([]Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, readDeadline)
	defer cancel()
	c, err := s.view.Find(ctx, campaign)
	if err != nil || c.Epoch == 0 {
		return nil, err
	}
	r := &reading{keys: wanted(c)}
	r.known, r.recorded = s.askRecord(ctx, campaign, r.keys)
	if r.recorded == nil && r.allIssued() {
		return r.answers(), nil
	}
	if retired(c) || c.Mode == coupon.ModeSQL {
		return s.readRecord(ctx, c, r)
	}
	return s.readStock(ctx, c, r)
}

// reading is a question about claims of one user, and what MySQL said: known when recorded is nil.
type reading struct {
	keys     []coupon.Key
	known    recorded
	recorded error
}

func (r *reading) allIssued() bool { return len(r.known.rows) == len(r.keys) }

// allKnown reports whether MySQL knows each of the claims, as a row or as a live failed event.
func (r *reading) allKnown() bool { return r.recorded == nil && len(r.answers()) == len(r.keys) }

// answers tells the claims that MySQL knows.
func (r *reading) answers() []Answer {
	found := make([]Answer, 0, len(r.keys))
	for _, key := range r.keys {
		if a, ok := r.known.answer(key); ok {
			found = append(found, a)
		}
	}
	return found
}

// readRecord tells claims of which Redis knows nothing.
func (s *Service) readRecord(ctx context.Context, c *coupon.Campaign, r *reading) ([]Answer, error) {
	if r.recorded != nil {
		return nil, coupon.Unavailable("read claims", r.recorded)
	}
	found := r.answers()
	if len(found) == len(r.keys) {
		return found, nil
	}
	_, err := s.standing(ctx, c)
	return found, err
}

// readStock tells claims that Redis may hold: it knows when one was claimed, and whether it is durable. Without MySQL one
// that it holds is pending, and nothing is said of any other.
func (s *Service) readStock(ctx context.Context, c *coupon.Campaign, r *reading) ([]Answer, error) {
	decisions, err := s.stock.Held(ctx, c.ID, c.Epoch, r.keys)
	if err != nil && r.allKnown() {
		return r.answers(), nil
	}
	if err != nil {
		return nil, coupon.Unavailable("read claims", err)
	}
	var standing coupon.Standing
	standingErr := r.recorded
	if standingErr == nil {
		standing, standingErr = s.standing(ctx, c)
	}
	found := make([]Answer, 0, len(r.keys))
	for i, d := range decisions {
		a, known := r.known.answer(r.keys[i])
		switch {
		case a.Coupon != nil:
		case d.Verdict == coupon.Held:
			if !known {
				a.Status = heldStatus(d, standing)
			}
			a.Claim = d.Claim
		case known: // a failed event that the keys of Redis do not tell of
		case d.Verdict == coupon.Broken:
			return nil, errNotReady
		case standingErr != nil:
			return nil, coupon.Unavailable("read claims", standingErr)
		default:
			continue
		}
		found = append(found, a)
	}
	return found, nil
}

// heldStatus is the status of a claim that Redis holds and MySQL does not know. An unknown standing confirms nothing.
func heldStatus(d coupon.Decision, standing coupon.Standing) coupon.ClaimStatus {
	if d.Mark.Durable() && standing.Confirms(d.Claim.Epoch) {
		return coupon.StatusAccepted
	}
	return coupon.StatusPending
}

// standing reads where the campaign's epoch stands. The error is unavailable when it is not the view's: what has been read
// until now was asked of the wrong store, or of the wrong keys.
func (s *Service) standing(ctx context.Context, c *coupon.Campaign) (coupon.Standing, error) {
	bounded, cancel := context.WithTimeout(ctx, lookUpDeadline)
	defer cancel()
	standings, err := s.record.Standings(bounded, []string{c.ID})
	if err != nil {
		if ctx.Err() == nil {
			s.database.failed(err)
		}
		return coupon.Standing{}, coupon.Unavailable("read claims", err)
	}
	if standings[c.ID].Epoch != c.Epoch {
		s.view.Reload()
		return coupon.Standing{}, errNotReady
	}
	return standings[c.ID], nil
}
