package redisstock

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

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

const claimWhat = "claim in Redis"

// Claim decides a batch of applies of one campaign in the order given, in one step that nothing can come between, and
// answers each: the n-th decision is of the n-th key. A user who has the claim already is answered whatever the campaign's
// state. The batch is at most 1000 keys.
//
// After an error nothing is known of any of them: some may be granted and pending. Asking again gives the same serials.
func (s *Stock) Claim(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error) {
	ref := coupon.EpochRef{Campaign: campaign, Epoch: epoch}
	decided := s.ClaimAll(ctx, []coupon.Batch{{EpochRef: ref, Keys: keys}})[0]
	return decided.Decisions, decided.Err
}

// ClaimAll decides batches of several campaigns in one round trip, each as Claim does: the n-th outcome is of the n-th batch,
// and one may fail alone, as when a node of a cluster is away.
func (s *Stock) ClaimAll(ctx context.Context, batches []coupon.Batch) []coupon.Decided {
	decided := make([]coupon.Decided, len(batches))
	calls := make([]call, len(batches))
	for i, b := range batches {
		if len(b.Keys) > maxBatch {
			decided[i].Err = fmt.Errorf("claim: %d keys in one batch, at most %d", len(b.Keys), maxBatch)
			continue
		}
		if len(b.Keys) > 0 {
			k := keysOf(b.Campaign, b.Epoch)
			calls[i] = call{[]string{k.meta, k.users, k.count, k.serials, k.pending}, members(b.Keys, b.Epoch)}
		}
	}
	for i, answer := range s.runAll(ctx, s.claim, calls) {
		if answer != nil {
			decided[i].Decisions, decided[i].Err = decisions(batches[i], answer)
		}
	}
	return decided
}

// decisions reads the reply of claim.lua to one batch.
func decisions(batch coupon.Batch, answer *redis.Cmd) ([]coupon.Decision, error) {
	reply, err := answer.Slice()
	if err != nil {
		return nil, coupon.Unavailable(claimWhat, err)
	}
	if len(reply) != len(batch.Keys)+2 {
		return nil, badReply(claimWhat, fmt.Sprintf("of %d slots for %d keys", len(reply)-2, len(batch.Keys)))
	}
	now, nowOK := reply[0].(int64)
	hi, hiOK := reply[1].(int64)
	if !nowOK || !hiOK {
		return nil, badReply(claimWhat, reply[:2])
	}
	decisions := make([]coupon.Decision, len(batch.Keys))
	for i, slot := range reply[2:] {
		key := coupon.Key{Campaign: batch.Campaign, User: batch.Keys[i].User, N: batch.Keys[i].N}
		claim := coupon.Claim{Key: key, Epoch: batch.Epoch, ClaimedAt: fromMilli(now)}
		decision, ok := decide(slot, claim, hi)
		if !ok {
			return nil, badReply(claimWhat, slot)
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
