package redisstock

import (
	"context"
	"fmt"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// refusals is what the negative slots of claim.lua mean, by their absolute value.
var refusals = [...]coupon.Verdict{
	1: coupon.RefusedSoldOut,
	2: coupon.RefusedNotStarted,
	3: coupon.RefusedEnded,
	4: coupon.RefusedPaused,
	5: coupon.RefusedPerUserLimit,
	6: coupon.WrongEpoch,
	7: coupon.Unsealed,
	8: coupon.Broken,
}

// Claim decides a batch of applies of one campaign in the order given, in one step that nothing can come between, and
// answers each: the n-th decision is of the n-th key. A user who has the claim already is answered whatever the campaign's
// state. The batch is at most 1000 keys.
//
// After an error nothing is known of any of them: some may be granted and pending. Asking again gives the same serials.
func (s *Stock) Claim(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if len(keys) > maxBatch {
		return nil, fmt.Errorf("claim: %d keys in one batch, at most %d", len(keys), maxBatch)
	}
	const what = "claim in Redis"
	k := keysOf(campaign, epoch)
	reply, err := s.run(ctx, what, s.claim, []string{k.meta, k.users, k.count, k.serials, k.pending}, members(keys, epoch))
	if err != nil {
		return nil, err
	}
	if len(reply) != len(keys)+2 {
		return nil, badReply(what, fmt.Sprintf("of %d slots for %d keys", len(reply)-2, len(keys)))
	}
	now, nowOK := reply[0].(int64)
	hi, hiOK := reply[1].(int64)
	if !nowOK || !hiOK {
		return nil, badReply(what, reply[:2])
	}
	decisions := make([]coupon.Decision, len(keys))
	for i, slot := range reply[2:] {
		key := coupon.Key{Campaign: campaign, User: keys[i].User, N: keys[i].N}
		claim := coupon.Claim{Key: key, Epoch: epoch, ClaimedAt: fromMilli(now)}
		decision, ok := decide(slot, claim, hi)
		if !ok {
			return nil, badReply(what, slot)
		}
		decisions[i] = decision
	}
	return decisions, nil
}

// decide reads one slot of the reply; claim is what a grant of it would be.
func decide(slot any, claim coupon.Claim, hi int64) (decision coupon.Decision, ok bool) {
	switch slot := slot.(type) {
	case int64:
		return granted(slot, claim, hi)
	case string:
		return held(slot, claim), true
	default:
		return coupon.Decision{}, false
	}
}

func granted(slot int64, claim coupon.Claim, hi int64) (decision coupon.Decision, ok bool) {
	if slot > 0 {
		claim.Serial = slot
		return coupon.Decision{Verdict: coupon.Granted, Claim: claim, Mark: coupon.MarkReserved}, true
	}
	if slot == 0 || -slot >= int64(len(refusals)) {
		return coupon.Decision{}, false
	}
	verdict := refusals[-slot]
	if verdict == coupon.RefusedSoldOut {
		return coupon.Decision{Verdict: verdict, Hi: hi}, true
	}
	return coupon.Decision{Verdict: verdict}, true
}

func held(stored string, claim coupon.Claim) coupon.Decision {
	serial, at, mark, ok := parseStored(stored)
	if !ok {
		return coupon.Decision{Verdict: coupon.Broken}
	}
	claim.Serial, claim.ClaimedAt = serial, at
	return coupon.Decision{Verdict: coupon.Held, Claim: claim, Mark: mark}
}
