package redisstock

import (
	"context"
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Forget remembers that the log acknowledged claims: they are marked acked and are pending no more. Only an
// acknowledgement allows it. It makes nothing that is not there, and may be repeated.
func (s *Stock) Forget(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) error {
	ref := coupon.EpochRef{Campaign: campaign, Epoch: epoch}
	return s.ForgetAll(ctx, []coupon.Batch{{EpochRef: ref, Keys: keys}})
}

// ForgetAll forgets batches of several campaigns in one round trip. The error is the first of those that it did not reach.
func (s *Stock) ForgetAll(ctx context.Context, batches []coupon.Batch) error {
	var calls []call
	for _, b := range batches {
		k := keysOf(b.Campaign, b.Epoch)
		for keys := range slices.Chunk(b.Keys, maxBatch) {
			calls = append(calls, call{[]string{k.serials, k.pending}, members(keys)})
		}
	}
	for _, answer := range s.runAll(ctx, s.forget, calls) {
		if err := answer.Err(); err != nil {
			return coupon.Unavailable("forget pending claims in Redis", err)
		}
	}
	return nil
}

// TakePending returns claims of an epoch that have been due for at least take.Overdue, the longest due first, and makes
// them due again only after take.Lease, so that nobody else takes them before. At most take.Limit, and never more than
// 1000. A taker that dies loses nothing: its lease runs out.
func (s *Stock) TakePending(ctx context.Context, campaign string, epoch int64, take coupon.Take) ([]coupon.Claim, error) {
	k := keysOf(campaign, epoch)
	limit := min(take.Limit, maxBatch)
	if limit < 1 {
		return nil, nil
	}
	args := []any{limit, take.Lease.Milliseconds(), take.Overdue.Milliseconds()}
	reply, err := s.run(ctx, "take pending claims in Redis", s.take, []string{k.serials, k.pending}, args)
	if err != nil {
		return nil, err
	}
	claims := make([]coupon.Claim, 0, len(reply)/2)
	for pair := range slices.Chunk(reply, 2) {
		if claim, ok := pendingClaim(campaign, epoch, pair); ok { // what cannot be read cannot be published
			claims = append(claims, claim)
		}
	}
	return claims, nil
}

func pendingClaim(campaign string, epoch int64, pair []any) (claim coupon.Claim, ok bool) {
	if len(pair) != 2 {
		return coupon.Claim{}, false
	}
	member, _ := pair[0].(string)
	stored, _ := pair[1].(string)
	key, keyOK := keyOf(campaign, member)
	serial, at, _, storedOK := parseStored(stored)
	return coupon.Claim{Key: key, Epoch: epoch, Serial: serial, ClaimedAt: at}, keyOK && storedOK
}
