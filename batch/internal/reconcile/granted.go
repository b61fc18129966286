package reconcile

import (
	"context"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// granted goes from Redis to MySQL.
func (n *names) granted(ctx context.Context) error {
	for cursor := uint64(0); ; {
		page, next, err := n.job.stock.ScanSerials(ctx, n.ref, cursor)
		if err != nil {
			return err
		}
		for len(page) > 0 {
			step := page[:min(namesPage, len(page))]
			page = page[len(step):]
			if err := n.judge(ctx, step); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (n *names) judge(ctx context.Context, page []redisstock.Entry) error {
	rows, err := n.rowsOf(ctx, page)
	if err != nil {
		return err
	}
	var left []redisstock.Entry
	for _, e := range page {
		serial, issued := rows[e.Claim.Key]
		switch {
		case !e.Stored:
			n.add(e.Claim.Key, 0, serial, noSerial)
		case !e.Member:
			n.add(e.Claim.Key, e.Claim.Serial, serial, noMember)
		case issued && serial != e.Claim.Serial && e.Mark != coupon.MarkCarried: // a carried claim may be renumbered
			n.add(e.Claim.Key, e.Claim.Serial, serial, otherSerial)
		case !issued && !e.Pending:
			left = append(left, e)
		}
	}
	return n.settle(ctx, left)
}

// settle judges claims that were neither pending nor rows. The log is asked about after Redis, and MySQL once more after the
// log: what was acknowledged before and is read to the end by now has its row, or its failed event. While the consumers are
// behind, it may be on its way.
func (n *names) settle(ctx context.Context, left []redisstock.Entry) error {
	if len(left) == 0 {
		return nil
	}
	lag, err := n.job.lag(ctx)
	if err != nil {
		return err
	}
	rows, err := n.rowsOf(ctx, left)
	if err != nil {
		return err
	}
	fates, err := n.job.record.Fates(ctx, n.ref.Campaign, keysOf(left))
	if err != nil {
		return err
	}
	for _, e := range left {
		if _, issued := rows[e.Claim.Key]; issued {
			continue
		}
		wrong := missing(e.Mark, fates[e.Claim.Key])
		if wrong == "" || n.seen[e.Claim.Key] {
			continue
		}
		if wrong == noRow && lag > 0 {
			n.late++
			continue
		}
		if wrong == noRow {
			n.lost = append(n.lost, e.Claim)
		}
		n.add(e.Claim.Key, e.Claim.Serial, 0, wrong)
	}
	return nil
}

// missing says what is wrong with a claim that has no row and is not pending, "" when a failed event keeps it.
func missing(mark coupon.Mark, fate coupon.FailureStatus) string {
	switch {
	case mark == coupon.MarkIssued:
		return rowGone
	case fate == coupon.FailurePending, fate == coupon.FailureLeased, fate == coupon.FailureParked:
		return ""
	case fate == coupon.FailureDiscarded:
		return eventDiscards
	case fate == coupon.FailureDead:
		return eventDead
	case mark == coupon.MarkCarried:
		return eventGone
	default:
		return noRow
	}
}

func (n *names) rowsOf(ctx context.Context, page []redisstock.Entry) (map[coupon.Key]int64, error) {
	coupons, err := n.job.record.CouponsOf(ctx, n.ref.Campaign, keysOf(page))
	serials := make(map[coupon.Key]int64, len(coupons))
	for _, c := range coupons {
		serials[c.Key] = c.Serial
	}
	return serials, err
}

func keysOf(page []redisstock.Entry) []coupon.Key {
	keys := make([]coupon.Key, len(page))
	for i, e := range page {
		keys[i] = e.Claim.Key
	}
	return keys
}
