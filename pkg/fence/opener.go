package fence

import (
	"context"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

const (
	// sealPatience is how long an opening waits for Redis before it opens in mode sql.
	sealPatience = time.Second
	// racePatience is how long an opener that was overtaken waits for the other one to finish.
	racePatience = 2 * time.Second
	glance       = 50 * time.Millisecond
)

// book is the record of campaigns and epochs. Each step must be one transaction that names the state it starts from, so
// that of two openers one wins and the other is told.
type book interface {
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
	BeginEpoch(ctx context.Context, id string, mode coupon.Mode) (coupon.Campaign, error)
	ActivateEpoch(ctx context.Context, d coupon.Document) (coupon.Document, error)
}

// stock holds the claim state. Seal must be the replication id of the Redis that holds the campaign's keys; Prepare must
// never touch the keys of an epoch that may grant; Open must refuse an epoch that is older than the one it holds, and be
// safe to repeat.
type stock interface {
	Seal(ctx context.Context, campaign string) (string, error)
	Prepare(ctx context.Context, d coupon.Document) error
	Open(ctx context.Context, d coupon.Document) error
}

// Opener opens campaigns the first time.
type Opener struct {
	book  book
	stock stock
}

// New returns an Opener over the record and the claim state.
func New(book book, stock stock) *Opener { return &Opener{book: book, stock: stock} }

// Open opens a campaign the first time: in mode redis, or in mode sql when Redis does not answer within a second. It may
// be repeated at any point:
//
//	killed before BeginEpoch     the campaign is a draft
//	killed before ActivateEpoch  the epoch is loading, and taken over under a new number after 10 s
//	killed before stock.Open     MySQL says active, Redis grants nothing; the next Open, a keeper or the warden finishes it
//
// The owner of the epoch is fixed in MySQL before Redis may grant, never after. Of two openers one wins; the other waits
// up to 2 s for the epoch to be active, and finishes what the winner began. CodeInvalidTransition for a closed campaign,
// CodeUnavailable while the campaign is between two epochs or a store does not answer.
func (o *Opener) Open(ctx context.Context, id string) error {
	campaign, err := o.book.Campaign(ctx, id)
	switch {
	case err != nil:
		return err
	case campaign.EpochState == coupon.EpochActive:
		return o.finish(ctx, campaign)
	case campaign.Status == coupon.CampaignClosed:
		return coupon.NewError(coupon.CodeInvalidTransition, fmt.Sprintf("a %s campaign cannot be opened", campaign.Status))
	case campaign.Status != coupon.CampaignDraft:
		return coupon.Unavailable("the campaign's claim state is being rebuilt", nil)
	}
	failure := o.open(ctx, id)
	if failure == nil {
		return nil
	}
	campaign, err = o.overtaken(ctx, id)
	if err != nil || campaign.EpochState != coupon.EpochActive {
		return failure
	}
	return o.finish(ctx, campaign)
}

// finish does what a crash may have left: in mode sql nothing is, and what has a row was opened. An epoch after the first
// may not be opened at once, as servers may still have the one before in their views: keepers and the warden see to it.
func (o *Opener) finish(ctx context.Context, c coupon.Campaign) error {
	if c.Mode == coupon.ModeSQL || c.Epoch > 1 || c.Issued > 0 {
		return nil
	}
	return o.stock.Open(ctx, c.Document())
}

// open takes the steps F5 to F8 with no rows.
func (o *Opener) open(ctx context.Context, id string) error {
	seal, mode := o.owner(ctx, id)
	campaign, err := o.book.BeginEpoch(ctx, id, mode)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.EpochClosed)
	if mode == coupon.ModeSQL {
		return nil
	}
	document := campaign.Document()
	document.Seal = seal
	if err := o.stock.Prepare(ctx, document); err != nil {
		return err
	}
	failpoint.Hit(failpoint.EpochLoaded)
	document, err = o.book.ActivateEpoch(ctx, document)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.EpochActive)
	if err := o.stock.Open(ctx, document); err != nil {
		return err
	}
	failpoint.Hit(failpoint.EpochUnlocked)
	return nil
}

// owner returns the seal of the Redis that is to own the epoch, or mode sql when none answers.
func (o *Opener) owner(ctx context.Context, id string) (seal string, mode coupon.Mode) {
	ctx, cancel := context.WithTimeout(ctx, sealPatience)
	defer cancel()
	seal, err := o.stock.Seal(ctx, id)
	if err != nil {
		return "", coupon.ModeSQL
	}
	return seal, coupon.ModeRedis
}

// overtaken waits while another opener is loading the campaign.
func (o *Opener) overtaken(ctx context.Context, id string) (coupon.Campaign, error) {
	ctx, cancel := context.WithTimeout(ctx, racePatience)
	defer cancel()
	for {
		campaign, err := o.book.Campaign(ctx, id)
		if err != nil || campaign.EpochState != coupon.EpochLoading || wait(ctx, glance) != nil {
			return campaign, err
		}
	}
}

// wait returns nil after d, or ctx's error when it ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
