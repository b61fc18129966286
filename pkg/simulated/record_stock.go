package simulated

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func (b *book) bySerial() []coupon.Coupon {
	return slices.SortedFunc(slices.Values(b.rows), func(x, y coupon.Coupon) int { return cmp.Compare(x.Serial, y.Serial) })
}

// raise makes serials of d more places, before they are counted: those that are kept above the limit come first.
func (b *book) raise(d int64) {
	if b.Epoch == 0 || b.EpochState == coupon.EpochClosed {
		return
	}
	owed := max(0, b.Issued+b.kept()-b.Limit)
	b.Hi += max(0, d-owed)
	b.epochs[b.Epoch].hiMax = max(b.epochs[b.Epoch].hiMax, b.Hi)
	if b.Mode == coupon.ModeSQL {
		b.HiWanted = b.Hi
	}
}

// SetStatus moves a campaign.
func (r *Record) SetStatus(ctx context.Context, id string, to coupon.CampaignStatus) (coupon.Campaign, error) {
	return transact(ctx, r, "status "+id, func() (coupon.Campaign, error) {
		b, err := r.book(id)
		if err != nil {
			return coupon.Campaign{}, err
		}
		if !b.Status.CanBecome(to) {
			return coupon.Campaign{}, coupon.NewError(coupon.CodeInvalidTransition, string(to))
		}
		if b.Status != to {
			b.Status = to
			b.Version++
		}
		return b.Campaign, nil
	})
}

// RaiseLimit adds places.
func (r *Record) RaiseLimit(ctx context.Context, id string, delta int64, _, _ string) (coupon.Campaign, error) {
	return transact(ctx, r, fmt.Sprint("raise ", id), func() (coupon.Campaign, error) {
		b, err := r.book(id)
		if err != nil {
			return coupon.Campaign{}, err
		}
		b.raise(delta)
		b.Limit += delta
		b.ledger = append(b.ledger, coupon.Adjustment{Kind: coupon.AdjustmentRaise, Delta: delta, CreatedAt: r.now()})
		return b.Campaign, nil
	})
}

// RaiseWanted lets Redis give out serials up to what every view has known for a while.
func (r *Record) RaiseWanted(ctx context.Context, ref coupon.EpochRef, version, seen int64) (coupon.Campaign, error) {
	return transact(ctx, r, fmt.Sprint("raise wanted ", ref), func() (coupon.Campaign, error) {
		b, err := r.book(ref.Campaign)
		if err != nil {
			return coupon.Campaign{}, err
		}
		wanted := min(b.Hi, seen)
		if b.Epoch == ref.Epoch && b.Version == version && b.EpochState == coupon.EpochActive && b.Lowering == 0 && wanted > b.HiWanted {
			b.HiWanted = wanted
			b.Version++
		}
		return b.Campaign, nil
	})
}

// BeginLowering takes places, or wishes to where Redis may have given them out.
func (r *Record) BeginLowering(ctx context.Context, id string, delta int64, _, _ string) (coupon.Campaign, error) {
	return transact(ctx, r, "lower "+id, func() (coupon.Campaign, error) {
		b, err := r.book(id)
		if err != nil {
			return coupon.Campaign{}, err
		}
		given := b.Lo - 1
		if b.Mode == coupon.ModeSQL {
			given = b.NextSerial - 1
		}
		switch {
		case b.Lowering > 0:
			return coupon.Campaign{}, coupon.NewError(coupon.CodeAdjusting, id)
		case b.EpochState == coupon.EpochFencing:
			return coupon.Campaign{}, coupon.Unavailable("fencing", nil)
		case b.Limit-delta < max(1, b.Issued+b.kept()), b.Hi-delta < given:
			return coupon.Campaign{}, coupon.NewError(coupon.CodeLimitBelowClaimed, id)
		}
		b.Version++
		if b.EpochState != coupon.EpochActive || b.Mode != coupon.ModeRedis || b.Hi-delta >= b.HiWanted {
			b.lower(delta)
			return b.Campaign, nil
		}
		b.wish = wish{version: b.Version, wantedBefore: b.HiWanted}
		b.Lowering, b.HiWanted = delta, b.Hi-delta
		return b.Campaign, nil
	})
}

// wish is an open lowering.
type wish struct{ version, wantedBefore int64 }

// FinishLowering settles an open lowering by what Redis answered to the push of doc.
func (r *Record) FinishLowering(ctx context.Context, doc coupon.Document, taken bool) (coupon.Campaign, error) {
	return transact(ctx, r, fmt.Sprint("lowered ", doc.Campaign, doc.Epoch), func() (coupon.Campaign, error) {
		b, err := r.book(doc.Campaign)
		if err != nil {
			return coupon.Campaign{}, err
		}
		if b.Lowering > 0 && b.Epoch == doc.Epoch && b.wish.version <= doc.Version {
			b.endWish(taken)
		}
		return b.Campaign, nil
	})
}

func (b *book) endWish(taken bool) {
	d := b.Lowering
	b.Lowering = 0
	b.Version++
	if taken {
		b.lower(d)
		return
	}
	b.HiWanted = min(b.wish.wantedBefore, b.Hi)
}

func (b *book) lower(d int64) {
	b.Limit -= d
	b.Hi -= d
	b.HiWanted = min(b.HiWanted, b.Hi)
	b.ledger = append(b.ledger, coupon.Adjustment{Kind: coupon.AdjustmentLower, Delta: -d})
}

// Cancel cancels a coupon, and gives its place back where the campaign says so.
func (r *Record) Cancel(ctx context.Context, key coupon.Key, _ string) (coupon.Coupon, coupon.Campaign, error) {
	type both struct {
		coupon   coupon.Coupon
		campaign coupon.Campaign
	}
	x, err := transact(ctx, r, fmt.Sprint("cancel ", key), func() (both, error) {
		b, err := r.book(key.Campaign)
		if err != nil {
			return both{}, err
		}
		i := slices.IndexFunc(b.rows, func(row coupon.Coupon) bool { return row.Key == key })
		if i < 0 {
			return both{}, coupon.NewError(coupon.CodeClaimNotFound, "")
		}
		if b.rows[i].Status == coupon.CouponActive {
			b.rows[i].Status = coupon.CouponCancelled
			if b.RestockOnCancel {
				b.raise(1)
				b.Issued--
				b.ledger = append(b.ledger, coupon.Adjustment{Kind: coupon.AdjustmentReturn, Delta: 1})
			}
		}
		return both{b.rows[i], b.Campaign}, nil
	})
	return x.coupon, x.campaign, err
}
