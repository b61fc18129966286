package mysqlstore

import (
	"cmp"
	"io"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// batch is one Issue under the lock of its campaign's row: what was read there, and what failed statements taught.
type batch struct {
	tx         *gorm.DB
	now        time.Time
	random     io.Reader
	campaign   *campaignRow
	deliveries []coupon.Delivery

	epochs   map[int64]epochRow   // activated ones, the current one included
	served   map[owner]int64      // serials of (user, n) that have a row
	failures map[int64]failureRow // the failed events being retried, by id
	owners   map[int64]owner      // of serials that have a row; known only after an INSERT met one
	bad      map[int]string       // deliveries whose row the database refuses, and its words
	spare    []int64              // free serials below lo, for carried events whose own is taken
}

// owner is whose coupon a row is, within a campaign.
type owner struct {
	user string
	n    int
}

// couponRow is a row to insert: which delivery it is for, and its serial (the claim's, unless it was renumbered).
type couponRow struct {
	index  int
	serial int64
}

// plan decides what becomes of each delivery, given all that is known: pure arithmetic. The smaller serial comes first,
// so it gets the room, and the serial, when there is not enough for all.
func (b *batch) plan() ([]coupon.Result, []couponRow) {
	p := planner{
		batch: b, room: b.campaign.LimitCount - b.campaign.Issued, spare: b.spare,
		serials: make(map[int64]owner, len(b.deliveries)), planned: make(map[owner]int64, len(b.deliveries)),
	}
	results := make([]coupon.Result, len(b.deliveries))
	for _, i := range b.bySerial() {
		results[i] = p.judge(i)
	}
	return results, p.rows
}

func (b *batch) bySerial() []int {
	order := make([]int, len(b.deliveries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Compare(b.deliveries[x].Claim.Serial, b.deliveries[y].Claim.Serial)
	})
	return order
}

type planner struct {
	*batch
	room    int64
	spare   []int64
	serials map[int64]owner // given out in this plan
	planned map[owner]int64 // the same, the other way round
	rows    []couponRow
}

func (p *planner) judge(i int) coupon.Result {
	d := &p.deliveries[i]
	failure := p.failures[d.FailedID]
	if d.FailedID != 0 && !failure.live() {
		return coupon.Result{Outcome: coupon.OutcomeDuplicate}
	}
	who := owner{d.Claim.User, d.Claim.N}
	if serial, ok := p.served[who]; ok {
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
	if words, bad := p.bad[i]; bad {
		return dead(coupon.ReasonBadRow, words), true
	}
	if words := unstorable(c); words != "" {
		return dead(coupon.ReasonBadRow, words), true
	}
	if c.N > p.campaign.PerUserLimit {
		return dead(coupon.ReasonPerUserLimit, "n is above the per-user limit"), true
	}
	epoch, ok := p.epochs[c.Epoch]
	if !ok || c.Serial < epoch.Lo || c.Serial > epoch.HiMax {
		return dead(coupon.ReasonSerialRange, "no open epoch could give that serial"), true
	}
	if !p.open(c.Epoch) && !carried {
		return coupon.Result{Outcome: coupon.OutcomeStale}, true
	}
	return coupon.Result{}, false
}

// open reports whether claims of an epoch may become rows: those of a fencing one are being drained.
func (p *planner) open(epoch int64) bool {
	state := p.campaign.EpochState
	return epoch == p.campaign.Epoch && (state == coupon.EpochActive || state == coupon.EpochFencing)
}

func (p *planner) place(i int, who owner, carried bool) coupon.Result {
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
	p.serials[serial], p.planned[who] = who, serial
	p.rows = append(p.rows, couponRow{i, serial})
	return coupon.Result{Outcome: coupon.OutcomeIssued, Reason: reason}
}

func (p *planner) taken(serial int64) bool {
	_, planned := p.serials[serial]
	_, owned := p.owners[serial]
	return planned || owned
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
	case !storableTime(c.ClaimedAt):
		return "claimed_at is no date of the database"
	default:
		return ""
	}
}

func storableTime(t time.Time) bool { return t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }
