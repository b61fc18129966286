package redisstock

import (
	"context"
	"errors"
	"strconv"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// holdersStep is about how many members one step of Holders visits: few enough that no claim waits long behind it.
const holdersStep = 1000

// ErrNotSoldOut says that an epoch is not sold out at the hi that was asked about, or that this Redis cannot tell.
var ErrNotSoldOut = errors.New("the epoch is not sold out at that hi")

// Holders returns some of those who hold a claim of an epoch that is sold out at hi, how many there are in all, and the
// cursor of the next step: 0 begins, and 0 ends. Some come twice. Each step is refused with ErrNotSoldOut unless the epoch is
// sold out at that very hi at its instant, so as many different holders as there are in all are all of them.
func (s *Stock) Holders(ctx context.Context, ref coupon.EpochRef, hi int64, cursor uint64) (
	page []coupon.Key, total int64, next uint64, err error,
) {
	const what = "read holders in Redis"
	k := keysOf(ref.Campaign, ref.Epoch)
	args := []any{ref.Epoch, hi, strconv.FormatUint(cursor, 10), holdersStep}
	reply, err := s.run(ctx, what, s.holders, []string{k.meta, k.users, k.count, k.serials}, args)
	if err != nil {
		return nil, 0, 0, err
	}
	if len(reply) == 0 {
		return nil, 0, 0, refused("read the holders of", ref, ErrNotSoldOut)
	}
	page, total, next, ok := holdersPage(ref.Campaign, reply)
	if !ok {
		return nil, 0, 0, badReply(what, len(reply))
	}
	return page, total, next, nil
}

func holdersPage(campaign string, reply []any) (page []coupon.Key, total int64, next uint64, ok bool) {
	if len(reply) != 3 {
		return nil, 0, 0, false
	}
	cursor, _ := reply[0].(string)
	names, isList := reply[1].([]any)
	total, isCount := reply[2].(int64)
	next, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil || !isList || !isCount {
		return nil, 0, 0, false
	}
	page = make([]coupon.Key, len(names))
	for i, name := range names {
		text, _ := name.(string)
		if page[i], ok = keyOf(campaign, text); !ok {
			page[i] = coupon.Key{Campaign: campaign, User: text} // nobody's claim; it counts all the same
		}
	}
	return page, total, next, true
}
