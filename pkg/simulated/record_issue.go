package simulated

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/issue"
)

// Issue turns deliveries of one campaign into coupons, by the plan that the real one follows.
func (r *Record) Issue(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error) {
	if len(deliveries) == 0 {
		return nil, nil
	}
	return transact(ctx, r, "issue "+deliveries[0].Claim.EventKey(), func() ([]coupon.Result, error) {
		b, err := r.book(campaign)
		if err != nil {
			unknown := coupon.Result{
				Outcome: coupon.OutcomeDead, Reason: coupon.ReasonUnknownCampaign, Err: "no such campaign",
			}
			return slices.Repeat([]coupon.Result{unknown}, len(deliveries)), nil
		}
		results, _ := r.issue(b, coupon.ModeRedis, deliveries)
		return results, nil
	})
}

func (r *recordState) issue(b *book, mode coupon.Mode, deliveries []coupon.Delivery) ([]coupon.Result, []issue.Row) {
	facts := b.facts(mode, deliveries)
	if r.Flaws.NoEpochCheck {
		facts.Failures[0] = issue.Failure{Carried: true} // what is no failed event is taken for a carried one
	}
	results, rows := facts.Plan(deliveries)
	for _, row := range rows {
		claim := deliveries[row.Index].Claim
		claim.Serial = row.Serial
		b.rows = append(b.rows, coupon.Coupon{Claim: claim, Status: coupon.CouponActive, IssuedAt: r.now()})
		b.Issued++
	}
	for i, result := range results {
		if mode == coupon.ModeRedis { // a wish that got no place was no promise
			b.settle(&deliveries[i], result)
		}
		r.askForFence(b, mode, &deliveries[i], result)
	}
	if len(rows) > 0 && r.check != nil {
		r.check(&b.Campaign, b.rows)
	}
	return results, rows
}

func (b *book) facts(mode coupon.Mode, deliveries []coupon.Delivery) *issue.Facts {
	f := &issue.Facts{
		Room: b.Limit - b.Issued, PerUserLimit: b.PerUserLimit, Epoch: b.Epoch, State: b.EpochState, Mode: mode,
		Epochs: map[int64]issue.Epoch{}, Served: map[issue.Owner]int64{}, Failures: map[int64]issue.Failure{},
		Owners: map[int64]issue.Owner{},
	}
	for number, e := range b.epochs {
		if e.opened {
			f.Epochs[number] = issue.Epoch{Lo: e.lo, HiMax: e.hiMax, Mode: e.mode}
		}
	}
	for _, row := range b.rows {
		f.Served[issue.Owner{User: row.User, N: row.N}] = row.Serial
		f.Owners[row.Serial] = issue.Owner{User: row.User, N: row.N}
	}
	for _, failure := range b.failures {
		f.Failures[failure.ID] = issue.Failure{Live: live(failure.Status), Carried: failure.Carried}
	}
	f.Spare = b.spare(len(deliveries))
	return f
}

// spare returns free serials that no epoch can give out: between the epochs before the current one and its first serial, or
// above all of a retired campaign.
func (b *book) spare(most int) (free []int64) {
	var highest int64
	retired := b.EpochState == coupon.EpochClosed
	if !retired && b.EpochState != coupon.EpochActive && b.EpochState != coupon.EpochFencing {
		return nil // an abandoned epoch's serials are given to the next
	}
	for number, e := range b.epochs {
		if e.opened && (number < b.Epoch || retired) {
			highest = max(highest, e.hiMax)
		}
	}
	for serial := highest + 1; (serial < b.Lo || retired) && len(free) < most; serial++ {
		if !slices.ContainsFunc(b.rows, func(row coupon.Coupon) bool { return row.Serial == serial }) {
			free = append(free, serial)
		}
	}
	return free
}

// settle writes what an issue leaves besides rows.
func (b *book) settle(d *coupon.Delivery, result coupon.Result) {
	if d.FailedID != 0 {
		b.endFailure(d.FailedID, result)
		return
	}
	switch result.Outcome {
	case coupon.OutcomeParked:
		b.keep(coupon.FailedEvent{EventKey: d.Claim.EventKey(), Claim: d.Claim, Reason: result.Reason, Status: coupon.FailureParked})
	case coupon.OutcomeDead:
		b.keep(coupon.FailedEvent{EventKey: cmp.Or(d.Position, "dead:"+d.Claim.EventKey()), Claim: d.Claim, Reason: result.Reason, Status: coupon.FailureDead})
	}
}

// askForFence asks for the end of an epoch one of whose serials had two owners, or whose serials outnumber the places.
func (r *recordState) askForFence(b *book, mode coupon.Mode, d *coupon.Delivery, result coupon.Result) {
	contradicts := result.Reason == coupon.ReasonSerialTaken ||
		result.Reason == coupon.ReasonLimitReached && mode == coupon.ModeSQL
	if contradicts && d.Claim.Epoch == b.Epoch {
		r.wantFence(b)
	}
}

func (r *recordState) wantFence(b *book) {
	if b.EpochState == coupon.EpochActive && r.now().Sub(b.EpochSince) > fenceGrace {
		b.FenceWanted = b.Epoch
	}
}

func (b *book) endFailure(id int64, result coupon.Result) {
	f := b.failures[id-1]
	switch {
	case !live(f.Status):
	case result.Outcome == coupon.OutcomeParked:
		f.Reason = result.Reason
	case result.Outcome == coupon.OutcomeDead:
		f.Status, f.EventKey = coupon.FailureDead, fmt.Sprint("dead:", id) // the key is free for the promise it claimed to be
	default:
		f.Status = coupon.FailureDone
	}
}

// keep files a failed event unless its key is there already.
func (b *book) keep(f coupon.FailedEvent) {
	if slices.ContainsFunc(b.failures, func(known *coupon.FailedEvent) bool { return known.EventKey == f.EventKey }) {
		return
	}
	f.ID, f.Campaign, f.Epoch = int64(len(b.failures)+1), b.ID, f.Claim.Epoch
	b.failures = append(b.failures, &f)
}

// Park keeps events as failed events, without looking at their campaigns.
func (r *Record) Park(ctx context.Context, events []coupon.FailedEvent) error {
	if len(events) == 0 {
		return nil
	}
	_, err := transact(ctx, r, "park "+events[0].EventKey, func() (struct{}, error) {
		for _, e := range events {
			b, err := r.book(e.Campaign)
			if err != nil {
				return struct{}{}, err
			}
			b.keep(e)
		}
		return struct{}{}, nil
	})
	return err
}

// Direct issues claims whose users wait: grants the log did not take, or wishes in mode sql.
func (r *Record) Direct(ctx context.Context, campaign string, epoch int64, claims []coupon.Claim) ([]coupon.Settled, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	return transact(ctx, r, fmt.Sprint("direct ", campaign, epoch, claims[0].Key), func() ([]coupon.Settled, error) {
		b, err := r.book(campaign)
		if err != nil {
			return nil, err
		}
		return r.direct(b, epoch, claims), nil
	})
}

// direct judges every claim by what was there before, and then makes rows of all that may be some.
func (r *recordState) direct(b *book, epoch int64, claims []coupon.Claim) []coupon.Settled {
	d := direct{
		book: b, settled: make([]coupon.Settled, len(claims)), first: map[coupon.Key]int{}, twins: map[int]int{},
		sells: b.Mode == coupon.ModeSQL && b.EpochState == coupon.EpochActive && b.Epoch == epoch,
	}
	for i, c := range claims {
		d.judge(r, i, c)
	}
	mode := coupon.ModeRedis
	if d.sells {
		mode = coupon.ModeSQL
	}
	results, rows := r.issue(b, mode, d.deliveries)
	if d.sells {
		b.NextSerial += int64(len(rows))
	}
	for i, result := range results {
		d.settled[d.first[d.deliveries[i].Claim.Key]] = d.outcome(d.deliveries[i].Claim.Key, result)
	}
	for i, first := range d.twins {
		d.settled[i] = d.settled[first]
		if d.settled[i].Verdict == coupon.Granted {
			d.settled[i].Verdict = coupon.Held
		}
	}
	return d.settled
}

type direct struct {
	*book
	sells      bool // serials are given out here
	settled    []coupon.Settled
	deliveries []coupon.Delivery
	first      map[coupon.Key]int // the claim of each delivery
	twins      map[int]int        // claims of a key that is a delivery already, and that one
}

// judge settles a claim, or makes a delivery of it.
func (d *direct) judge(r *recordState, i int, c coupon.Claim) {
	wish, next := c.Serial == 0, d.NextSerial+int64(len(d.deliveries))
	if wish && !d.sells {
		d.settled[i] = coupon.Settled{Verdict: coupon.WrongEpoch}
		return
	}
	if first, twin := d.first[c.Key]; twin {
		d.twins[i] = first
		return
	}
	if row, served := d.row(c.Key); served {
		d.settled[i] = coupon.Settled{Verdict: coupon.Held, Coupon: &row, Status: coupon.StatusIssued}
		return
	}
	if f := d.failure(c.Key); f != nil {
		d.settled[i] = heldBack(f.Status)
		return
	}
	if !wish && d.sells {
		d.settled[i] = coupon.Settled{Verdict: coupon.WrongEpoch}
		return
	}
	if wish {
		if refusal, refused := d.refusal(c.N, next, r.now()); refused {
			d.settled[i] = coupon.Settled{Verdict: refusal}
			return
		}
		c.Epoch, c.Serial, c.ClaimedAt = d.Epoch, next, r.now()
	}
	d.first[c.Key] = i
	d.deliveries = append(d.deliveries, coupon.Delivery{Claim: c})
}

func (d *direct) outcome(key coupon.Key, result coupon.Result) coupon.Settled {
	switch {
	case result.Outcome == coupon.OutcomeIssued:
		row, _ := d.row(key)
		return coupon.Settled{Verdict: coupon.Granted, Coupon: &row, Status: coupon.StatusIssued}
	case result.Outcome == coupon.OutcomeStale:
		return coupon.Settled{Verdict: coupon.WrongEpoch}
	case d.sells:
		return coupon.Settled{Verdict: coupon.Broken}
	default:
		return coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusPending}
	}
}

func heldBack(status coupon.FailureStatus) coupon.Settled {
	s := coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusPending}
	if status == coupon.FailureParked {
		s.Status = coupon.StatusFailed
	}
	return s
}

func (b *book) refusal(n int, next int64, now time.Time) (coupon.Verdict, bool) {
	switch {
	case b.Status == coupon.CampaignClosed || !now.Before(b.EndsAt):
		return coupon.RefusedEnded, true
	case b.Status == coupon.CampaignPaused:
		return coupon.RefusedPaused, true
	case now.Before(b.StartsAt):
		return coupon.RefusedNotStarted, true
	case n > b.PerUserLimit:
		return coupon.RefusedPerUserLimit, true
	case next > b.HiWanted:
		return coupon.RefusedSoldOut, true
	default:
		return 0, false
	}
}
