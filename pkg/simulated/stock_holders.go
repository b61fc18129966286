package simulated

import (
	"context"
	"slices"
	"strings"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

const holdersStep = 8 // few, so that a scan of a small drop has several steps

// Holders returns some members of an epoch that is sold out at hi, in the order of their names: holders.lua.
func (s *Stock) Holders(ctx context.Context, ref coupon.EpochRef, hi int64, cursor uint64) (
	page []coupon.Key, total int64, next uint64, err error,
) {
	page, err = onKeys(ctx, s, "holders", ref, func(c *claimState, k *epochKeys) ([]coupon.Key, error) {
		if !s.soldOut(c, k, ref.Epoch, hi) {
			return nil, redisstock.ErrNotSoldOut
		}
		return k.members(ref.Campaign), nil
	})
	if err != nil {
		return nil, 0, 0, err
	}
	total = int64(len(page))
	page = page[min(cursor, uint64(total)):]
	if len(page) > holdersStep {
		page, next = page[:holdersStep], cursor+holdersStep
	}
	return page, total, next, nil
}

func (r *redisState) soldOut(c *claimState, k *epochKeys, epoch, hi int64) bool {
	d := c.document
	return c.live() == epoch && !c.fenced(epoch) && d.Hi == hi && k.count == hi && k.agree(d.Lo, d.Base) &&
		(d.Seal == "" || d.Seal == r.id)
}

func (k *epochKeys) members(campaign string) []coupon.Key {
	keys := make([]coupon.Key, 0, len(k.users))
	for key := range k.users {
		key.Campaign = campaign
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b coupon.Key) int { return strings.Compare(member(a), member(b)) })
	return keys
}
