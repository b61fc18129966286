// Package outbox publishes again the claims that Redis granted and the log never acknowledged.
package outbox

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

// pending holds the claims granted and not yet acknowledged. TakePending must hand an entry to one taker only until its
// lease is over; Forget must keep the claim and only say that it is durable.
type pending interface {
	TakePending(ctx context.Context, campaign string, epoch int64, take coupon.Take) ([]coupon.Claim, error)
	Forget(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) error
}

// publisher appends claims to the log; a nil error for a claim means that all in-sync replicas have it.
type publisher interface {
	PublishAll(ctx context.Context, claims []coupon.Claim) []error
}

const (
	page  = 500             // claims one step takes
	bound = 2 * time.Second // of a page's publish
	// lease is longer than the publish of a page may take, so that two sweepers rarely repeat each other; if they do, the
	// second event is a duplicate and harmless. A sweeper killed after its take delays its page by one lease.
	lease = 2500 * time.Millisecond

	// A flush takes what is not due yet and what another sweeper has leased: both are due within everything. What it took
	// and did not publish, because it was killed say, the next flush gets after 2 s.
	everything = 24 * time.Hour
	gone       = everything + 2*time.Second
)

// Outbox sweeps pending claims.
type Outbox struct {
	pending   pending
	publisher publisher
}

// New returns an Outbox over Redis' pending claims and the log.
func New(pending pending, publisher publisher) *Outbox {
	return &Outbox{pending: pending, publisher: publisher}
}

// Swept counts what one sweep did.
type Swept struct {
	Taken     int `json:"taken"`
	Published int `json:"published"`
}

// Sweep publishes the pending claims of an epoch that have been due for at least overdue, page by page, and forgets those
// the log acknowledged. Killed after the take, the lease runs out and another sweep takes them; killed after the
// publish, the claim is published once more, which issue() knows as a duplicate. It ends at the first page the log did
// not take whole: the rest would meet the same fate.
func (o *Outbox) Sweep(ctx context.Context, campaign string, epoch int64, overdue time.Duration) (Swept, error) {
	return o.empty(ctx, campaign, epoch, coupon.Take{Limit: page, Lease: lease, Overdue: overdue})
}

// Flush publishes every pending claim of an epoch that is being fenced, also those that are not due or leased to another,
// and forgets those the log acknowledged. It ends with ctx. What it did not publish is lost to nobody: it was never
// confirmed, and its user may apply again.
func (o *Outbox) Flush(ctx context.Context, campaign string, epoch int64) error {
	_, err := o.empty(ctx, campaign, epoch, coupon.Take{Limit: page, Lease: gone, Overdue: -everything})
	return err
}

// empty takes and publishes page after page.
func (o *Outbox) empty(ctx context.Context, campaign string, epoch int64, take coupon.Take) (Swept, error) {
	var total Swept
	for {
		claims, err := o.pending.TakePending(ctx, campaign, epoch, take)
		if err != nil || len(claims) == 0 {
			return total, err
		}
		failpoint.Hit(failpoint.SweepRead)
		total.Taken += len(claims)
		acked, failure := o.publish(ctx, claims)
		failpoint.Hit(failpoint.SweepPublished)
		total.Published += len(acked)
		if err := o.forget(ctx, campaign, epoch, acked); err != nil {
			return total, err
		}
		if failure != nil || len(claims) < page {
			return total, failure
		}
	}
}

func (o *Outbox) publish(ctx context.Context, claims []coupon.Claim) (acked []coupon.Key, failure error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for i, err := range o.publisher.PublishAll(ctx, claims) {
		if err != nil {
			failure = err
			continue
		}
		acked = append(acked, claims[i].Key)
	}
	return acked, failure
}

func (o *Outbox) forget(ctx context.Context, campaign string, epoch int64, acked []coupon.Key) error {
	if len(acked) == 0 {
		return nil
	}
	return o.pending.Forget(ctx, campaign, epoch, acked)
}
