package simulated

import (
	"cmp"
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

// Epoch is what is recorded of one epoch.
type Epoch struct {
	Number, Lo, Hi, HiMax int64
	Mode                  coupon.Mode
	State                 coupon.EpochState
	Opened                bool
}

// Epochs returns all epochs of a campaign, past every line: for checks.
func (r *Record) Epochs(id string) []Epoch {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []Epoch{}
	for number, e := range r.campaigns[id].epochs {
		all = append(all, Epoch{number, e.lo, e.hi, e.hiMax, e.mode, e.state, e.opened})
	}
	slices.SortFunc(all, func(x, y Epoch) int { return cmp.Compare(x.Number, y.Number) })
	return all
}

// Ledger returns every move of a campaign's stock, past every line: for checks.
func (r *Record) Ledger(id string) []coupon.Adjustment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.campaigns[id].ledger)
}
