package simulated

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// recordState is the database itself. Every method of Record is one transaction on it: carried out whole or not at all.
type recordState struct {
	mu        sync.Mutex
	now       func() time.Time
	campaigns map[string]*book
	down      bool
	leader    *Lead
	check     func(*coupon.Campaign, []coupon.Coupon) // called after every transaction that made a row

	Flaws Flaws // to be set before the first transaction
}

// book is all that belongs to one campaign.
type book struct {
	coupon.Campaign
	epochs   map[int64]*epoch
	rows     []coupon.Coupon // in the order of their birth
	failures []*coupon.FailedEvent
	ledger   []coupon.Adjustment
	wish     wish // of an open lowering
}

type epoch struct {
	lo, hi, hiMax int64
	mode          coupon.Mode
	state         coupon.EpochState
	opened        bool
}

// Record is the database as one caller reaches it.
type Record struct {
	*recordState
	line *Line
}

// NewRecord returns an empty database, reached without a line. check is called after every transaction that made a row.
func NewRecord(now func() time.Time, check func(*coupon.Campaign, []coupon.Coupon)) *Record {
	return &Record{recordState: &recordState{now: now, campaigns: map[string]*book{}, check: check}}
}

// Via returns the same database as reached by a line.
func (r *Record) Via(line *Line) *Record { return &Record{recordState: r.recordState, line: line} }

// Down makes the database refuse everything, or answer again. What it committed stays.
func (r *Record) Down(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
	if down {
		r.leader = nil // a lock goes with its connection
	}
}

// transact runs f under the lock of everything.
func transact[T any](ctx context.Context, r *Record, what string, f func() (T, error)) (T, error) {
	return call(ctx, r.line, what, func() (T, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.down {
			var nothing T
			return nothing, coupon.Unavailable(what, errAway)
		}
		return f()
	})
}

func (r *recordState) book(id string) (*book, error) {
	b, ok := r.campaigns[id]
	if !ok {
		return nil, coupon.NewError(coupon.CodeCampaignNotFound, id)
	}
	return b, nil
}

// CreateCampaign records a draft.
func (r *Record) CreateCampaign(ctx context.Context, c coupon.Campaign) error {
	_, err := transact(ctx, r, "create "+c.ID, func() (struct{}, error) {
		if _, taken := r.campaigns[c.ID]; taken {
			return struct{}{}, coupon.NewError(coupon.CodeCampaignExists, c.ID)
		}
		c.Status, c.EpochState, c.Mode, c.Version, c.NextSerial = coupon.CampaignDraft, coupon.EpochNone, coupon.ModeRedis, 1, 1
		r.campaigns[c.ID] = &book{Campaign: c, epochs: map[int64]*epoch{}}
		return struct{}{}, nil
	})
	return err
}

// Campaign returns a campaign.
func (r *Record) Campaign(ctx context.Context, id string) (coupon.Campaign, error) {
	return transact(ctx, r, "campaign "+id, func() (coupon.Campaign, error) {
		b, err := r.book(id)
		if err != nil {
			return coupon.Campaign{}, err
		}
		return b.Campaign, nil
	})
}

// View returns what users may know of.
func (r *Record) View(ctx context.Context) ([]coupon.Campaign, error) {
	return transact(ctx, r, "view", func() ([]coupon.Campaign, error) {
		return r.list(func(b *book) bool {
			return b.Status == coupon.CampaignActive || b.Status == coupon.CampaignPaused ||
				b.Status == coupon.CampaignClosed && b.wasOpen()
		}), nil
	})
}

// Watched returns what the warden watches.
func (r *Record) Watched(ctx context.Context) ([]coupon.Campaign, error) {
	return transact(ctx, r, "watched", func() ([]coupon.Campaign, error) {
		return r.list(func(b *book) bool {
			open := b.Status == coupon.CampaignActive || b.Status == coupon.CampaignPaused
			between := b.EpochState == coupon.EpochFencing || b.EpochState == coupon.EpochLoading
			ended := b.Status == coupon.CampaignClosed && b.EpochState == coupon.EpochActive && b.Mode == coupon.ModeRedis
			return b.Epoch > 0 && (open || between || ended)
		}), nil
	})
}

func (r *recordState) list(keep func(*book) bool) []coupon.Campaign {
	var all []coupon.Campaign
	for _, b := range r.campaigns {
		if keep(b) {
			all = append(all, b.Campaign)
		}
	}
	slices.SortFunc(all, func(a, b coupon.Campaign) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Standings is the confirm read.
func (r *Record) Standings(ctx context.Context, ids []string) (map[string]coupon.Standing, error) {
	return transact(ctx, r, "standings", func() (map[string]coupon.Standing, error) {
		standings := map[string]coupon.Standing{}
		for _, id := range ids {
			if b, ok := r.campaigns[id]; ok {
				standings[id] = coupon.Standing{Epoch: b.Epoch, State: b.EpochState}
			}
		}
		return standings, nil
	})
}

// CouponsOf returns the rows of many keys of one campaign.
func (r *Record) CouponsOf(ctx context.Context, campaign string, keys []coupon.Key) ([]coupon.Coupon, error) {
	return transact(ctx, r, "coupons of "+campaign, func() ([]coupon.Coupon, error) {
		b, err := r.book(campaign)
		if err != nil {
			return nil, nil
		}
		var found []coupon.Coupon
		for _, key := range keys {
			if row, ok := b.row(key); ok {
				found = append(found, row)
			}
		}
		return found, nil
	})
}

// FailuresOf returns where the live failed events of keys stand.
func (r *Record) FailuresOf(ctx context.Context, campaign string, keys []coupon.Key) (map[coupon.Key]coupon.FailureStatus, error) {
	return transact(ctx, r, "failures of "+campaign, func() (map[coupon.Key]coupon.FailureStatus, error) {
		found := map[coupon.Key]coupon.FailureStatus{}
		b, err := r.book(campaign)
		if err != nil {
			return found, nil
		}
		for _, key := range keys {
			if f := b.failure(key); f != nil {
				found[key] = f.Status
			}
		}
		return found, nil
	})
}

func (b *book) row(key coupon.Key) (coupon.Coupon, bool) {
	i := slices.IndexFunc(b.rows, func(row coupon.Coupon) bool { return row.Key == key })
	if i < 0 {
		return coupon.Coupon{}, false
	}
	return b.rows[i], true
}

// failure returns the live failed event of a key, of several the least hopeless, or nil.
func (b *book) failure(key coupon.Key) (found *coupon.FailedEvent) {
	for _, f := range b.failures {
		if f.Claim.Key == key && live(f.Status) && (found == nil || found.Status == coupon.FailureParked) {
			found = f
		}
	}
	return found
}

func live(s coupon.FailureStatus) bool {
	return s == coupon.FailurePending || s == coupon.FailureLeased || s == coupon.FailureParked
}

// kept counts the places that live failed events keep: one for each (user, n) without a row. One of a closed epoch that is
// not carried was filed too late to be a promise.
func (b *book) kept() int64 {
	keys := map[coupon.Key]bool{}
	for _, f := range b.failures {
		if _, served := b.row(f.Claim.Key); live(f.Status) && !served && (f.Carried || f.Epoch == b.Epoch) {
			keys[f.Claim.Key] = true
		}
	}
	return int64(len(keys))
}
