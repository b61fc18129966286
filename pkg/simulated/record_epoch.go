package simulated

import (
	"context"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	loadingPatience = 10 * time.Second
	fenceGrace      = 2 * time.Second
)

// WantFence asks for the end of a campaign's epoch.
func (r *Record) WantFence(ctx context.Context, id string) (coupon.Campaign, error) {
	return transact(ctx, r, "want fence "+id, func() (coupon.Campaign, error) {
		b, err := r.book(id)
		if err != nil {
			return coupon.Campaign{}, err
		}
		open := b.Status == coupon.CampaignActive || b.Status == coupon.CampaignPaused
		if !open || b.EpochState != coupon.EpochActive {
			return coupon.Campaign{}, coupon.NewError(coupon.CodeInvalidTransition, "not open")
		}
		b.FenceWanted = b.Epoch
		return b.Campaign, nil
	})
}

// BeginFence is step F1.
func (r *Record) BeginFence(ctx context.Context, refs []coupon.EpochRef) ([]coupon.EpochRef, error) {
	return transact(ctx, r, "begin fence", func() ([]coupon.EpochRef, error) {
		var fencing []coupon.EpochRef
		for _, ref := range refs {
			b, err := r.book(ref.Campaign)
			if err != nil || b.Epoch != ref.Epoch {
				continue
			}
			if b.EpochState == coupon.EpochActive {
				b.step(coupon.EpochFencing, r.now())
			}
			if b.EpochState == coupon.EpochFencing {
				fencing = append(fencing, ref)
			}
		}
		return fencing, nil
	})
}

func (b *book) step(state coupon.EpochState, now time.Time) {
	b.EpochState, b.EpochSince = state, now
	b.epochs[b.Epoch].state = state
}

// BeginEpoch begins to open a draft.
func (r *Record) BeginEpoch(ctx context.Context, id string, mode coupon.Mode) (coupon.Campaign, error) {
	return transact(ctx, r, "begin epoch "+id, func() (coupon.Campaign, error) {
		b, err := r.book(id)
		if err != nil {
			return coupon.Campaign{}, err
		}
		if b.Status == coupon.CampaignClosed || b.EpochState == coupon.EpochActive || b.EpochState == coupon.EpochClosed {
			return coupon.Campaign{}, coupon.NewError(coupon.CodeInvalidTransition, "open or closed")
		}
		if b.EpochState == coupon.EpochLoading && r.now().Sub(b.EpochSince) < loadingPatience || b.EpochState == coupon.EpochFencing {
			return coupon.Campaign{}, coupon.Unavailable("another opening", nil)
		}
		b.open(mode, r.now(), r.Flaws)
		return b.Campaign, nil
	})
}

// CloseEpoch is step F5.
func (r *Record) CloseEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error) {
	return r.end(ctx, ref, mode, func(b *book) bool { return b.EpochState == coupon.EpochFencing })
}

// TakeOverEpoch is step F5 again, for an opening that makes no progress.
func (r *Record) TakeOverEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error) {
	return r.end(ctx, ref, mode, func(b *book) bool {
		return b.EpochState == coupon.EpochLoading && r.now().Sub(b.EpochSince) >= loadingPatience
	})
}

func (r *Record) end(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode, may func(*book) bool) (coupon.Campaign, error) {
	return transact(ctx, r, fmt.Sprint("end ", ref), func() (coupon.Campaign, error) {
		b, err := r.book(ref.Campaign)
		if err != nil {
			return coupon.Campaign{}, err
		}
		if b.Epoch != ref.Epoch || !may(b) {
			return coupon.Campaign{}, coupon.Unavailable("another fence was faster", nil)
		}
		b.open(mode, r.now(), r.Flaws)
		return b.Campaign, nil
	})
}

// open ends the current epoch and begins the next: the arithmetic of F5.
func (b *book) open(mode coupon.Mode, now time.Time, flaws Flaws) {
	b.settleLowering()
	for _, f := range b.failures {
		if live(f.Status) && f.Epoch == b.Epoch {
			f.Carried = true
		}
	}
	if old := b.epochs[b.Epoch]; old != nil {
		if old.mode == coupon.ModeSQL {
			old.hiMax = b.NextSerial - 1
		}
		old.state = coupon.EpochClosed
	}
	b.Version++
	if b.Status == coupon.CampaignClosed {
		b.EpochState, b.EpochSince = coupon.EpochClosed, now
		b.reviveTaken()
		return
	}
	kept, highest := b.kept(), b.highest()
	if flaws.SoldTwice {
		kept = 0
	}
	if flaws.SerialsAgain {
		highest = max(0, b.Lo-1)
	}
	b.Epoch++
	b.Lo = highest + kept + 1
	b.Hi = b.Lo + max(0, b.Limit-b.Issued-kept) - 1
	b.HiWanted, b.NextSerial, b.Mode, b.Seal, b.Base = b.Hi, b.Lo, mode, "", 0
	b.epochs[b.Epoch] = &epoch{lo: b.Lo, hi: b.Hi, hiMax: b.Hi, mode: mode}
	if mode == coupon.ModeRedis {
		b.step(coupon.EpochLoading, now)
		return
	}
	b.activate(now)
}

func (b *book) settleLowering() {
	if b.Lowering > 0 {
		b.endWish(b.Limit-b.Lowering >= b.Issued+b.kept())
	}
}

// highest returns the highest serial any activated epoch could have given.
func (b *book) highest() (highest int64) {
	for _, e := range b.epochs {
		if e.opened {
			highest = max(highest, e.hiMax)
		}
	}
	return highest
}

func (b *book) wasOpen() bool {
	for _, e := range b.epochs {
		if e.opened {
			return true
		}
	}
	return false
}

func (b *book) activate(now time.Time) {
	b.epochs[b.Epoch].opened = true
	b.step(coupon.EpochActive, now)
	if b.Status == coupon.CampaignDraft {
		b.Status = coupon.CampaignActive
	}
	b.reviveTaken()
}

// reviveTaken makes the carried events due whose serial another user has.
func (b *book) reviveTaken() {
	for _, f := range b.failures {
		if f.Carried && f.Status == coupon.FailureParked && f.Reason == coupon.ReasonSerialTaken {
			f.Status, f.Attempts = coupon.FailurePending, 0
		}
	}
}

// TouchEpoch says that a loading makes progress.
func (r *Record) TouchEpoch(ctx context.Context, ref coupon.EpochRef) error {
	_, err := transact(ctx, r, fmt.Sprint("touch ", ref), func() (struct{}, error) {
		b, err := r.book(ref.Campaign)
		if err != nil || b.Epoch != ref.Epoch || b.EpochState != coupon.EpochLoading {
			return struct{}{}, coupon.Unavailable("taken over", nil)
		}
		b.EpochSince = r.now()
		return struct{}{}, nil
	})
	return err
}

// ActivateEpoch is step F7.
func (r *Record) ActivateEpoch(ctx context.Context, doc coupon.Document) (coupon.Document, error) {
	return transact(ctx, r, fmt.Sprint("activate ", doc.Campaign, doc.Epoch), func() (coupon.Document, error) {
		b, err := r.book(doc.Campaign)
		if err != nil {
			return coupon.Document{}, err
		}
		switch {
		case b.Status == coupon.CampaignClosed:
			return coupon.Document{}, coupon.NewError(coupon.CodeInvalidTransition, "closed")
		case b.Epoch != doc.Epoch:
			return coupon.Document{}, coupon.Unavailable("taken over", nil)
		case b.EpochState == coupon.EpochActive && b.Seal == doc.Seal:
			return b.Document(), nil
		case b.EpochState != coupon.EpochLoading:
			return coupon.Document{}, coupon.Unavailable("no longer loading", nil)
		}
		b.Seal, b.Base = doc.Seal, doc.Base
		b.Version++
		b.activate(r.now())
		return b.Document(), nil
	})
}

// CarriedClaims returns the claims of live carried failed events with an id above after.
func (r *Record) CarriedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, int64, error) {
	type page struct {
		claims []coupon.Claim
		last   int64
	}
	p, err := transact(ctx, r, fmt.Sprint("carried ", campaign, after), func() (page, error) {
		b, err := r.book(campaign)
		if err != nil {
			return page{last: after}, nil
		}
		p := page{last: after}
		for _, f := range b.failures {
			_, served := b.row(f.Claim.Key)
			if f.ID > after && f.Carried && live(f.Status) && !served && len(p.claims) < limit {
				p.claims, p.last = append(p.claims, f.Claim), f.ID
			}
		}
		return p, nil
	})
	return p.claims, p.last, err
}

// IssuedClaims returns the claims of rows with a serial above after, by serial.
func (r *Record) IssuedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, error) {
	return transact(ctx, r, fmt.Sprint("issued ", campaign, after), func() ([]coupon.Claim, error) {
		b, err := r.book(campaign)
		if err != nil {
			return nil, nil
		}
		var claims []coupon.Claim
		for _, row := range b.bySerial() {
			if row.Serial > after && len(claims) < limit {
				claims = append(claims, row.Claim)
			}
		}
		return claims, nil
	})
}
