package reconcile

import (
	"cmp"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
)

const (
	// loadingPatience is how long a loading may make no progress. It is taken over after 10 s, if there is a warden.
	loadingPatience = 30 * time.Second
	// fencingPatience is how long a fence may stand whose log is drained.
	fencingPatience = time.Minute
)

// compareRecord looks at MySQL alone, where a row and its place are one transaction. Whether the limit is what it was at
// the beginning plus the raises less the lowerings cannot be proven: the limit at the beginning is not kept. Of the
// ledger, the returns can: each has a cancelled coupon, whose row is there and whose place is not taken.
func compareRecord(a *mysqlstore.Account, found *findings) {
	c := a.Campaign
	if c.Issued > c.Limit {
		found.add("over_limit", "%d places are taken of %d: oversold", c.Issued, c.Limit)
	}
	if missing := c.Issued + a.Returned - a.Rows; missing != 0 {
		words := ""
		if a.Returned > 0 {
			words = " and " + counted(a.Returned, "return")
		}
		found.add("rows_issued", "MySQL counts %d places taken%s and has %d rows: %s", c.Issued, words, a.Rows,
			lessOrMore(missing, "row"))
	}
	if a.BadReturns > 0 {
		found.add("returns_coupons", "%s in the ledger without a cancelled coupon", counted(a.BadReturns, "return"))
	}
	if a.Misplaced > 0 {
		found.add("rows_serial", "%s with a serial that the epoch could not give", counted(a.Misplaced, "row"))
	}
	compareRanges(a, found)
}

// compareRanges looks at the epochs that were open once: no serial may belong to two of them.
func compareRanges(a *mysqlstore.Account, found *findings) {
	ranges := slices.DeleteFunc(slices.Clone(a.Epochs), func(r mysqlstore.EpochRange) bool { return r.HiMax < r.Lo })
	slices.SortFunc(ranges, func(x, y mysqlstore.EpochRange) int { return cmp.Compare(x.Lo, y.Lo) })
	for i := 1; i < len(ranges); i++ {
		if x, y := ranges[i-1], ranges[i]; y.Lo <= x.HiMax {
			found.add("epochs_overlap", "serials %d to %d belong to epoch %d and epoch %d", y.Lo, min(x.HiMax, y.HiMax), x.Epoch, y.Epoch)
		}
	}
	c := a.Campaign
	for _, r := range a.Epochs {
		if r.Epoch == c.Epoch && c.EpochState == coupon.EpochActive && r.HiMax < c.Hi {
			found.add("epoch_range", "hi is %d, and serials above %d are not of epoch %d", c.Hi, r.HiMax, r.Epoch)
		}
	}
}

// compareEpoch says where the protocol stands with the campaign, and reports whether its epoch is open: of another one
// there is nothing more to compare. A retired campaign is answered from MySQL alone.
func compareEpoch(x *figures, found *findings) bool {
	c := x.account.Campaign
	switch {
	case c.EpochState == coupon.EpochLoading:
		found.epoch(&x.account, x.account.EpochAge < loadingPatience)
	case c.EpochState == coupon.EpochFencing:
		found.epoch(&x.account, x.account.EpochAge < fencingPatience || x.lag > 0)
	case c.EpochState != coupon.EpochActive:
	case x.elsewhere():
		found.addIf(true, "epoch", "epoch %d was opened just now: Redis is not asked", c.Epoch)
	default:
		if c.FenceWanted == c.Epoch && c.Status != coupon.CampaignClosed {
			found.addIf(true, "fence_wanted", "a fence of epoch %d is wanted, and no warden has begun it", c.Epoch)
		}
		return true
	}
	return false
}

// epoch names an epoch between two states, which is work on its way as long as there is progress.
func (f *findings) epoch(a *mysqlstore.Account, progress bool) {
	c := a.Campaign
	if progress {
		f.addIf(true, "epoch", "epoch %d is %s: Redis is not asked", c.Epoch, c.EpochState)
		return
	}
	f.add("epoch_stuck", "epoch %d is %s and has made no progress for %s", c.Epoch, c.EpochState, a.EpochAge.Round(time.Second))
}

// compareSQL proves the conservation of stock of an epoch whose serials MySQL gives out: nothing is ever on its way.
func compareSQL(a *mysqlstore.Account, found *findings) {
	unsold := a.Campaign.Hi - a.Campaign.NextSerial + 1
	comparePlaces(a.Campaign, a.Kept, unsold, unsold, 0, found)
}
