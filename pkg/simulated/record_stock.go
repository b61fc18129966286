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
		b.Version++
	}
}

// SetStatus moves a campaign.
func (r *Record) SetStatus(ctx context.Context, id string, to coupon.CampaignStatus) (coupon.Campaign, error) {
	return transact(ctx, r, "status "+id, func() (coupon.Campaign, error) {
		b, err := r.book(id)
		if err != nil {
			return coupon.Campaign{}, err
		}
		if !b.Status.CanBecome(to) || b.Status == coupon.CampaignDraft && to == coupon.CampaignActive {
			return coupon.Campaign{}, coupon.NewError(coupon.CodeInvalidTransition, string(to))
		}
		if b.Status != to {
			b.Status = to
			b.Version++
		}
		return b.Campaign, nil
	})
}

// UpdateCampaign changes a campaign that is still at the version given.
func (r *Record) UpdateCampaign(
	ctx context.Context, id string, version int64, change coupon.CampaignChange,
) (coupon.Campaign, error) {
	return transact(ctx, r, "change "+id, func() (coupon.Campaign, error) {
		b, err := r.book(id)
		if err != nil {
			return coupon.Campaign{}, err
		}
		if b.Version != version {
			return coupon.Campaign{}, coupon.NewError(coupon.CodeVersionMismatch, id)
		}
		changed, err := change.Apply(b.Campaign)
		if err != nil {
			return coupon.Campaign{}, err
		}
		b.Campaign = changed
		b.Version++
		return b.Campaign, nil
	})
}

// RaiseLimit adds places.
func (r *Record) RaiseLimit(ctx context.Context, id string, delta int64, _, _ string) (coupon.Campaign, error) {
	return transact(ctx, r, fmt.Sprint("raise ", id), func() (coupon.Campaign, error) {
		b, err := r.adjustable(id, delta)
		if err != nil {
			return coupon.Campaign{}, err
		}
		b.raise(delta)
		b.Limit += delta
		b.ledger = append(b.ledger, coupon.Adjustment{Kind: coupon.AdjustmentRaise, Delta: delta})
		return b.Campaign, nil
	})
}

// adjustable returns a campaign whose limit may be moved by delta places.
func (r *recordState) adjustable(id string, delta int64) (*book, error) {
	if delta < 1 {
		return nil, coupon.NewError(coupon.CodeValidationFailed, "delta")
	}
	b, err := r.book(id)
	if err == nil && b.Status == coupon.CampaignClosed {
		err = coupon.NewError(coupon.CodeInvalidTransition, "closed")
	}
	return b, err
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
		b, err := r.adjustable(id, delta)
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
		case b.Limit-delta < 1:
			return coupon.Campaign{}, coupon.NewError(coupon.CodeValidationFailed, "delta")
		case b.Limit-delta < b.Issued+b.kept(), b.Epoch > 0 && b.Hi-delta < given:
			return coupon.Campaign{}, coupon.NewError(coupon.CodeLimitBelowClaimed, id)
		}
		b.Version++
		if b.EpochState != coupon.EpochActive || b.Mode != coupon.ModeRedis || b.Hi-delta >= b.HiWanted {
			b.lower(delta, b.Version)
			return b.Campaign, nil
		}
		b.wish = wish{version: b.Version, wantedBefore: b.HiWanted}
		b.Lowering, b.HiWanted = delta, b.Hi-delta
		return b.Campaign, nil
	})
}

// wish is an open lowering.
type wish struct{ version, wantedBefore int64 }

// FinishLowering settles an open lowering by what Redis answered to the push of doc. The error tells how the one ended that
// began with doc.
func (r *Record) FinishLowering(ctx context.Context, doc coupon.Document, taken bool) (coupon.Campaign, error) {
	return transact(ctx, r, fmt.Sprint("lowered ", doc.Campaign, doc.Epoch), func() (coupon.Campaign, error) {
		b, err := r.book(doc.Campaign)
		if err != nil {
			return coupon.Campaign{}, err
		}
		lowered := b.lowered(doc.Version)
		if b.Lowering > 0 && b.Epoch == doc.Epoch && b.wish.version <= doc.Version {
			lowered = taken && b.Limit-b.Lowering >= b.Issued
			if taken && !lowered { // said by a Redis that lost claims
				r.wantFence(b)
			}
			b.endWish(lowered)
		}
		if !lowered {
			return b.Campaign, coupon.NewError(coupon.CodeLimitBelowClaimed, doc.Campaign)
		}
		return b.Campaign, nil
	})
}

// lowered reports whether the lowering was done that began with a version.
func (b *book) lowered(version int64) bool {
	return slices.ContainsFunc(b.ledger, func(a coupon.Adjustment) bool { return a.Ref == wishRef(version) })
}

func wishRef(version int64) string { return fmt.Sprint("version:", version) }

func (b *book) endWish(taken bool) {
	d := b.Lowering
	b.Lowering = 0
	b.Version++
	if taken {
		b.lower(d, b.wish.version)
		return
	}
	b.HiWanted = min(b.wish.wantedBefore, b.Hi)
}

// lower takes d places; version is that of the document that told of it.
func (b *book) lower(d, version int64) {
	b.Limit -= d
	b.ledger = append(b.ledger, coupon.Adjustment{Kind: coupon.AdjustmentLower, Delta: -d, Ref: wishRef(version)})
	if b.Epoch > 0 {
		b.Hi -= d
		b.HiWanted = min(b.HiWanted, b.Hi)
	}
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
		if i < 0 && b.failure(key) != nil {
			return both{}, coupon.NewError(coupon.CodeClaimNotFinal, "")
		}
		if i < 0 {
			return both{}, coupon.NewError(coupon.CodeClaimNotFound, "")
		}
		if b.rows[i].Status == coupon.CouponActive {
			b.rows[i].Status = coupon.CouponCancelled
			if b.RestockOnCancel {
				b.raise(1)
				b.Issued--
				ref := fmt.Sprint("coupon:", b.rows[i].Serial)
				b.ledger = append(b.ledger, coupon.Adjustment{Kind: coupon.AdjustmentReturn, Delta: 1, Ref: ref})
			}
		}
		return both{b.rows[i], b.Campaign}, nil
	})
	return x.coupon, x.campaign, err
}
