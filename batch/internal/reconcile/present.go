package reconcile

import (
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// present is a campaign as the report shows it, before it is judged.
func present(x figures) Campaign {
	a, r := x.account, x.account.Campaign
	c := Campaign{
		ID: r.ID, Status: r.Status, Epoch: r.Epoch, EpochState: r.EpochState, Mode: r.Mode,
		Limit: r.Limit, Issued: r.Issued, Rows: a.Rows, Returned: a.Returned,
		Live: a.Kept, Carried: a.Carried, Failed: a.Failed,
		InFlight: []Difference{}, Differences: []Difference{}, record: r,
	}
	if r.Mode == coupon.ModeSQL && r.EpochState == coupon.EpochActive {
		c.unsold(r.Hi - r.NextSerial + 1)
	}
	if x.asked.Epoch == 0 || x.elsewhere() {
		return c
	}
	s := x.before
	if s.Count >= 0 {
		c.unsold(r.Hi - s.Count)
	}
	c.Redis = &Stock{Count: s.Count, Members: s.Members, Serials: s.Serials, Pending: s.Pending}
	if d := s.Document; s.Exists {
		c.Redis.Document = &Meta{
			Version: d.Version, State: d.State, Epoch: d.Epoch, Lo: d.Lo, Hi: d.Hi, Base: d.Base, Seal: d.Seal,
		}
	}
	return c
}

func (c *Campaign) unsold(n int64) { c.Unsold = &n }

func (c *Campaign) judge() {
	switch {
	case c.Verdict == Unknown:
	case len(c.Differences) > 0:
		c.Verdict = Different
	case len(c.InFlight) > 0:
		c.Verdict = InFlight
	default:
		c.Verdict = Equal
	}
}

// hasAny reports whether one of the codes is among the differences.
func (c *Campaign) hasAny(codes []string) bool {
	return slices.ContainsFunc(c.Differences, func(d Difference) bool { return slices.Contains(codes, d.Code) })
}

// names reports whether a code is named, as a difference or in flight.
func (c *Campaign) names(code string) bool {
	is := func(d Difference) bool { return d.Code == code }
	return slices.ContainsFunc(c.Differences, is) || slices.ContainsFunc(c.InFlight, is)
}
