// Package issue decides what becomes of each claim that is to be a row: arithmetic on what was read under the lock of its
// campaign's row, and nothing else.
package issue

import (
	"cmp"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/planted"
)

// Facts are what the record says of a campaign and of the claims in hand, all of it read after the campaign's row was
// locked, so that nothing of it can change before the rows are there.
type Facts struct {
	Room         int64 // places that are free: the last wall
	PerUserLimit int
	Epoch        int64 // the current one
	State        coupon.EpochState
	Mode         coupon.Mode // of the epochs whose claims these are: the log carries those of mode redis only

	Epochs   map[int64]Epoch   // activated ones, the current one included
	Served   map[Owner]int64   // serials of (user, n) that have a row
	Failures map[int64]Failure // the failed events being retried, by id
	Owners   map[int64]Owner   // of serials that have a row; it may be incomplete, for the database refuses the second
	Bad      map[int]string    // deliveries whose row the database refuses, and its words
	Spare    []int64           // free serials below the epoch's first, for carried events whose own is taken
}

// Owner is whose coupon a row is, within a campaign.
type Owner struct {
	User string
	N    int
}

// Epoch is the range of serials that an activated epoch could give out.
type Epoch struct {
	Lo, HiMax int64
	Mode      coupon.Mode
}

// Failure is where a failed event stands that is being retried.
type Failure struct{ Live, Carried bool }

// Row is a coupon to insert: for which delivery, and its serial, which is the claim's unless it was renumbered.
type Row struct {
	Index  int
	Serial int64
}

// Plan decides what becomes of each delivery, and which rows to insert. The smaller serial comes first, so it gets the
// room, and the serial, when there is not enough for all.
func (f *Facts) Plan(deliveries []coupon.Delivery) ([]coupon.Result, []Row) {
	p := planner{
		Facts: f, deliveries: deliveries, room: f.Room, spare: f.Spare,
		serials: make(map[int64]bool, len(deliveries)), planned: make(map[Owner]int64, len(deliveries)),
	}
	results := make([]coupon.Result, len(deliveries))
	for _, i := range bySerial(deliveries) {
		results[i] = p.judge(i)
	}
	return results, p.rows
}

func bySerial(deliveries []coupon.Delivery) []int {
	order := make([]int, len(deliveries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Compare(deliveries[x].Claim.Serial, deliveries[y].Claim.Serial)
	})
	return order
}

type planner struct {
	*Facts
	deliveries []coupon.Delivery
	room       int64
	spare      []int64
	serials    map[int64]bool  // given out in this plan
	planned    map[Owner]int64 // to whom
	rows       []Row
}

func (p *planner) judge(i int) coupon.Result {
	d := &p.deliveries[i]
	failure := p.Failures[d.FailedID]
	if d.FailedID != 0 && !failure.Live {
		return coupon.Result{Outcome: coupon.OutcomeDuplicate}
	}
	who := Owner{d.Claim.User, d.Claim.N}
	if serial, ok := p.Served[who]; ok {
		return servedAlready(serial, d.Claim.Serial)
	}
	if refusal, refused := p.refuse(i, failure.Carried); refused {
		return refusal
	}
	if serial, ok := p.planned[who]; ok {
		return servedAlready(serial, d.Claim.Serial)
	}
	return p.place(i, who, failure.Carried)
}

// servedAlready tells a second delivery of a claim from a second claim of a user. The place of the latter is not given
// back here: the fence that ended its epoch did that.
func servedAlready(serial, claimed int64) coupon.Result {
	if serial == claimed {
		return coupon.Result{Outcome: coupon.OutcomeDuplicate}
	}
	return coupon.Result{Outcome: coupon.OutcomeVoid}
}

// refuse judges a claim by itself: can it be a row at all?
func (p *planner) refuse(i int, carried bool) (coupon.Result, bool) {
	c := &p.deliveries[i].Claim
	if words, bad := p.Bad[i]; bad {
		return dead(coupon.ReasonBadRow, words), true
	}
	if words := unstorable(c); words != "" {
		return dead(coupon.ReasonBadRow, words), true
	}
	if c.N > p.PerUserLimit {
		return dead(coupon.ReasonPerUserLimit, "n is above the per-user limit"), true
	}
	epoch, ok := p.Epochs[c.Epoch]
	if !ok || c.Serial < epoch.Lo || c.Serial > epoch.HiMax {
		return dead(coupon.ReasonSerialRange, "no open epoch could give that serial"), true
	}
	if epoch.Mode != p.Mode { // a serial that the database gives out is a row at once, and never travels
		return dead(coupon.ReasonSerialRange, "that epoch's serials are given out in mode "+string(epoch.Mode)), true
	}
	if !p.open(c.Epoch) && !carried && !planted.On(planted.NoEpochCheck) {
		return coupon.Result{Outcome: coupon.OutcomeStale}, true
	}
	return coupon.Result{}, false
}

// open reports whether claims of an epoch may become rows: those of a fencing one are being drained.
func (p *planner) open(epoch int64) bool {
	return epoch == p.Epoch && (p.State == coupon.EpochActive || p.State == coupon.EpochFencing)
}

func (p *planner) place(i int, who Owner, carried bool) coupon.Result {
	serial, reason := p.deliveries[i].Claim.Serial, coupon.FailureReason("")
	if p.taken(serial) {
		if !carried || len(p.spare) == 0 {
			return parked(coupon.ReasonSerialTaken, "the serial belongs to another user")
		}
		serial, p.spare, reason = p.spare[0], p.spare[1:], coupon.ReasonSerialTaken
	}
	if p.room <= 0 {
		return parked(coupon.ReasonLimitReached, "every place is taken")
	}
	p.room--
	p.serials[serial], p.planned[who] = true, serial
	p.rows = append(p.rows, Row{Index: i, Serial: serial})
	return coupon.Result{Outcome: coupon.OutcomeIssued, Reason: reason}
}

func (p *planner) taken(serial int64) bool {
	_, owned := p.Owners[serial]
	return owned || p.serials[serial]
}

func dead(reason coupon.FailureReason, words string) coupon.Result {
	return coupon.Result{Outcome: coupon.OutcomeDead, Reason: reason, Err: words}
}

func parked(reason coupon.FailureReason, words string) coupon.Result {
	return coupon.Result{Outcome: coupon.OutcomeParked, Reason: reason, Err: words}
}

// unstorable says why a claim cannot be a row, "" when it can. A user id outside the alphabet could meet another one in
// the unique key, for the database ignores trailing spaces.
func unstorable(c *coupon.Claim) string {
	switch {
	case !coupon.ValidUserID(c.User):
		return "not a user id"
	case c.N < 1 || c.Serial < 1:
		return "n and serial start at 1"
	case !StorableTime(c.ClaimedAt):
		return "claimed_at is no date of the database"
	default:
		return ""
	}
}

// StorableTime reports whether the database has such a date.
func StorableTime(t time.Time) bool { return t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }
