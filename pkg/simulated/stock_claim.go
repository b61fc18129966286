package simulated

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	sweepAfter = 2000 // ms after which a claim that nobody forgot is due
	mostTaken  = 1000
)

// Claim decides a batch of applies in the order given: claim.lua.
func (s *Stock) Claim(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error) {
	return step(ctx, s, "claim "+campaign, func() ([]coupon.Decision, error) {
		ref := coupon.EpochRef{Campaign: campaign, Epoch: epoch}
		c, k := s.keys(ref)
		now := s.now().UnixMilli()
		refusal := s.refusal(c, k, epoch, now)
		decisions := make([]coupon.Decision, len(keys))
		for i, key := range keys {
			decisions[i] = decide(ref, c, k, bare(key), refusal, now)
		}
		return decisions, nil
	})
}

// ClaimAll decides batches one after the other, as Redis does those of a pipeline: each of them may fail by itself.
func (s *Stock) ClaimAll(ctx context.Context, batches []coupon.Batch) []coupon.Decided {
	decided := make([]coupon.Decided, len(batches))
	for i, b := range batches {
		decided[i].Decisions, decided[i].Err = s.Claim(ctx, b.Campaign, b.Epoch, b.Keys)
	}
	return decided
}

// refusal is what everybody is told who is no member; 0 when each is judged by itself.
func (r *redisState) refusal(c *claimState, k *epochKeys, epoch, now int64) coupon.Verdict {
	d := c.document
	switch {
	case d == nil:
		return coupon.Broken
	case d.Epoch != epoch || d.State == coupon.DocumentFenced:
		return coupon.WrongEpoch
	case !k.agree(d.Lo, d.Base):
		return coupon.Broken
	case d.Seal != "" && d.Seal != r.id:
		return coupon.Unsealed
	case d.State == coupon.DocumentPaused:
		return coupon.RefusedPaused
	case d.State == coupon.DocumentClosed:
		return coupon.RefusedEnded
	case now < d.OpensAt.UnixMilli():
		return coupon.RefusedNotStarted
	case now >= d.ClosesAt.UnixMilli():
		return coupon.RefusedEnded
	default:
		return 0
	}
}

func decide(ref coupon.EpochRef, c *claimState, k *epochKeys, key coupon.Key, refusal coupon.Verdict, now int64) coupon.Decision {
	remembered, known := k.serials[key]
	switch {
	case k.users[key] && !known:
		return coupon.Decision{Verdict: coupon.Broken}
	case k.users[key]:
		return coupon.Decision{Verdict: coupon.Held, Claim: remembered.claim(ref, key), Mark: remembered.mark}
	case refusal != 0:
		return coupon.Decision{Verdict: refusal}
	case key.N < 1 || key.N > c.document.PerUserLimit:
		return coupon.Decision{Verdict: coupon.RefusedPerUserLimit}
	case k.count >= c.document.Hi:
		return coupon.Decision{Verdict: coupon.RefusedSoldOut, Hi: c.document.Hi}
	}
	k.count++
	granted := stored{serial: k.count, at: now, mark: coupon.MarkReserved}
	k.users[key], k.serials[key], k.pending[key] = true, granted, now+sweepAfter
	return coupon.Decision{Verdict: coupon.Granted, Claim: granted.claim(ref, key), Mark: coupon.MarkReserved}
}

// bare is a key as the keys of one campaign hold it.
func bare(key coupon.Key) coupon.Key { return coupon.Key{User: key.User, N: key.N} }

func (e stored) claim(ref coupon.EpochRef, key coupon.Key) coupon.Claim {
	key.Campaign = ref.Campaign
	return coupon.Claim{Key: key, Epoch: ref.Epoch, Serial: e.serial, ClaimedAt: time.UnixMilli(e.at).UTC()}
}

// Held returns what is remembered of each key in its open epoch.
func (s *Stock) Held(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error) {
	return step(ctx, s, "held "+campaign, func() ([]coupon.Decision, error) {
		ref := coupon.EpochRef{Campaign: campaign, Epoch: epoch}
		c, k := s.keys(ref)
		whole := c.live() == epoch && k.agree(c.document.Lo, c.document.Base)
		decisions := make([]coupon.Decision, len(keys))
		for i, key := range keys {
			remembered, known := k.serials[bare(key)]
			switch {
			case !whole:
				decisions[i].Verdict = coupon.Broken
			case known:
				claim := remembered.claim(ref, bare(key))
				decisions[i] = coupon.Decision{Verdict: coupon.Held, Claim: claim, Mark: remembered.mark}
			case c.document.Seal != "" && c.document.Seal != s.id:
				decisions[i].Verdict = coupon.Broken
			}
		}
		return decisions, nil
	})
}

// Forget remembers that the log acknowledged claims: forget.lua.
func (s *Stock) Forget(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) error {
	_, err := step(ctx, s, "forget "+campaign, func() (struct{}, error) {
		_, k := s.keys(coupon.EpochRef{Campaign: campaign, Epoch: epoch})
		for _, key := range keys {
			if remembered := k.serials[bare(key)]; remembered.mark == coupon.MarkReserved {
				remembered.mark = coupon.MarkAcked
				k.serials[bare(key)] = remembered
			}
			delete(k.pending, bare(key))
		}
		return struct{}{}, nil
	})
	return err
}

// ForgetAll forgets batches one after the other, and returns the first error.
func (s *Stock) ForgetAll(ctx context.Context, batches []coupon.Batch) error {
	var first error
	for _, b := range batches {
		first = cmp.Or(first, s.Forget(ctx, b.Campaign, b.Epoch, b.Keys))
	}
	return first
}

// TakePending returns claims that have been due for long enough, the longest due first, and leases them: take.lua.
func (s *Stock) TakePending(ctx context.Context, campaign string, epoch int64, take coupon.Take) ([]coupon.Claim, error) {
	if take.Limit < 1 {
		return nil, nil
	}
	return step(ctx, s, "take "+campaign, func() ([]coupon.Claim, error) {
		ref := coupon.EpochRef{Campaign: campaign, Epoch: epoch}
		_, k := s.keys(ref)
		now := s.now().UnixMilli()
		due := k.due(now - take.Overdue.Milliseconds())
		claims := []coupon.Claim{}
		for _, key := range due[:min(len(due), take.Limit, mostTaken)] {
			k.pending[key] = now + take.Lease.Milliseconds()
			if remembered, known := k.serials[key]; known {
				claims = append(claims, remembered.claim(ref, key))
			}
		}
		return claims, nil
	})
}

// due lists what was due by an instant, in the order of a Redis sorted set.
func (k *epochKeys) due(by int64) []coupon.Key {
	var due []coupon.Key
	for key, at := range k.pending {
		if at <= by {
			due = append(due, key)
		}
	}
	slices.SortFunc(due, func(a, b coupon.Key) int {
		return cmp.Or(cmp.Compare(k.pending[a], k.pending[b]), cmp.Compare(member(a), member(b)))
	})
	return due
}

// member is a key's name in Redis, which parts claims that are due at once.
func member(key coupon.Key) string {
	if key.N == 1 {
		return key.User
	}
	return strconv.Itoa(key.N) + "/" + key.User
}
