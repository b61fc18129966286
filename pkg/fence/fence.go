// Package fence opens an epoch of a campaign's claim state, so that Redis and MySQL agree on it before anything is granted.
package fence

import (
	"context"
	"fmt"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// book is the record of campaigns and epochs. Each step must be one transaction that names the state it starts from, so
// that of two openers one wins and the other is told.
type book interface {
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
	BeginEpoch(ctx context.Context, id string) (coupon.Document, error)
	ActivateEpoch(ctx context.Context, d coupon.Document) (coupon.Document, error)
}

// stock holds the claim state. Prepare must never touch the keys of an epoch that may grant; Open must refuse an epoch
// that is older than the one it holds, and be safe to repeat.
type stock interface {
	Prepare(ctx context.Context, d coupon.Document) error
	Open(ctx context.Context, d coupon.Document) error
}

// Fence opens epochs.
type Fence struct {
	book  book
	stock stock
}

// New returns a Fence over the record and the claim state.
func New(book book, stock stock) *Fence { return &Fence{book: book, stock: stock} }

// Open opens a campaign the first time. It may be repeated at any point:
//
//	killed before BeginEpoch     the campaign is a draft
//	killed before ActivateEpoch  the epoch is loading, and taken over under a new number after 10 s
//	killed before stock.Open     MySQL says active, Redis grants nothing; the next Open finishes it
//
// The owner of the epoch is fixed in MySQL before Redis may grant, never after. Of two openers one wins; the other finds
// the epoch active, and finishes what the winner began.
func (f *Fence) Open(ctx context.Context, id string) error {
	campaign, err := f.book.Campaign(ctx, id)
	if err != nil {
		return err
	}
	if campaign.EpochState == coupon.EpochActive {
		return f.stock.Open(ctx, campaign.Document())
	}
	if campaign.Status != coupon.CampaignDraft {
		return coupon.NewError(coupon.CodeInvalidTransition, fmt.Sprintf("a %s campaign cannot be opened", campaign.Status))
	}
	document, failure := f.activate(ctx, id)
	if failure == nil {
		return f.stock.Open(ctx, document)
	}
	campaign, err = f.book.Campaign(ctx, id)
	if err != nil || campaign.EpochState != coupon.EpochActive {
		return failure
	}
	return f.stock.Open(ctx, campaign.Document())
}

// activate takes a new epoch from nothing to active in the record.
func (f *Fence) activate(ctx context.Context, id string) (coupon.Document, error) {
	document, err := f.book.BeginEpoch(ctx, id)
	if err != nil {
		return coupon.Document{}, err
	}
	if err := f.stock.Prepare(ctx, document); err != nil {
		return coupon.Document{}, err
	}
	return f.book.ActivateEpoch(ctx, document)
}
