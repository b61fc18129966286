package simulated

import (
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Flaws are mistakes that the database may be given, to see whether a test notices.
type Flaws struct {
	SerialsAgain bool // an epoch begins with the serials of the one before
	SoldTwice    bool // the places that failed events keep are sold again
	NoEpochCheck bool // claims of closed epochs are issued
}

// Look returns all of one campaign as it is now, past every line: for checks.
func (r *Record) Look(id string) (c coupon.Campaign, rows []coupon.Coupon, failures []coupon.FailedEvent, kept int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.campaigns[id]
	for _, f := range b.failures {
		failures = append(failures, *f)
	}
	return b.Campaign, slices.Clone(b.rows), failures, b.kept()
}

// EpochsIn counts the activated epochs of a campaign in a mode, past every line: for checks.
func (r *Record) EpochsIn(id string, mode coupon.Mode) (count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.campaigns[id].epochs {
		if e.opened && e.mode == mode {
			count++
		}
	}
	return count
}
