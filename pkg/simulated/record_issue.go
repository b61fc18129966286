package simulated

import (
	"context"
	"fmt"
	"slices"

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
			return nil, err
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
		r.settle(b, &deliveries[i], result)
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
func (r *recordState) settle(b *book, d *coupon.Delivery, result coupon.Result) {
	if d.FailedID != 0 {
		b.endFailure(d.FailedID, result)
		return
	}
	switch result.Outcome {
	case coupon.OutcomeParked:
		b.keep(coupon.FailedEvent{EventKey: d.Claim.EventKey(), Claim: d.Claim, Reason: result.Reason, Status: coupon.FailureParked})
	case coupon.OutcomeDead:
		b.keep(coupon.FailedEvent{EventKey: d.Position, Claim: d.Claim, Reason: result.Reason, Status: coupon.FailureDead})
	}
}

// askForFence asks for the end of an epoch one of whose serials had two owners, or whose serials outnumber the places.
func (r *recordState) askForFence(b *book, mode coupon.Mode, d *coupon.Delivery, result coupon.Result) {
	contradicts := result.Reason == coupon.ReasonSerialTaken ||
		result.Reason == coupon.ReasonLimitReached && mode == coupon.ModeSQL
	settled := r.now().Sub(b.EpochSince) > fenceGrace
	if contradicts && settled && d.Claim.Epoch == b.Epoch && b.EpochState == coupon.EpochActive {
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
		f.Status = coupon.FailureDead
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
		settled := make([]coupon.Settled, len(claims))
		for i, c := range claims {
			settled[i] = r.direct(b, epoch, c)
		}
		return settled, nil
	})
}

func (r *recordState) direct(b *book, epoch int64, c coupon.Claim) coupon.Settled {
	sells := b.Mode == coupon.ModeSQL && b.EpochState == coupon.EpochActive && b.Epoch == epoch
	wish := c.Serial == 0
	if wish && !sells {
		return coupon.Settled{Verdict: coupon.WrongEpoch}
	}
	if row, served := b.row(c.Key); served {
		return coupon.Settled{Verdict: coupon.Held, Coupon: &row, Status: coupon.StatusIssued}
	}
	if f := b.failure(c.Key); f != nil {
		return heldBack(f.Status)
	}
	if !wish {
		return r.directGrant(b, sells, c)
	}
	if refusal, refused := b.refusal(c.N, r); refused {
		return coupon.Settled{Verdict: refusal}
	}
	c.Epoch, c.Serial, c.ClaimedAt = b.Epoch, b.NextSerial, r.now()
	results, rows := r.issue(b, coupon.ModeSQL, []coupon.Delivery{{Claim: c}})
	if results[0].Outcome != coupon.OutcomeIssued {
		return coupon.Settled{Verdict: coupon.Broken}
	}
	b.NextSerial = rows[0].Serial + 1
	row := b.rows[len(b.rows)-1]
	return coupon.Settled{Verdict: coupon.Granted, Coupon: &row, Status: coupon.StatusIssued}
}

func (r *recordState) directGrant(b *book, sells bool, c coupon.Claim) coupon.Settled {
	if sells {
		return coupon.Settled{Verdict: coupon.WrongEpoch}
	}
	results, _ := r.issue(b, coupon.ModeRedis, []coupon.Delivery{{Claim: c, Position: "direct:" + c.EventKey()}})
	switch results[0].Outcome {
	case coupon.OutcomeIssued:
		row := b.rows[len(b.rows)-1]
		return coupon.Settled{Verdict: coupon.Granted, Coupon: &row, Status: coupon.StatusIssued}
	case coupon.OutcomeStale:
		return coupon.Settled{Verdict: coupon.WrongEpoch}
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

func (b *book) refusal(n int, r *recordState) (coupon.Verdict, bool) {
	now := r.now()
	switch {
	case b.Status == coupon.CampaignClosed || !now.Before(b.EndsAt):
		return coupon.RefusedEnded, true
	case b.Status == coupon.CampaignPaused:
		return coupon.RefusedPaused, true
	case now.Before(b.StartsAt):
		return coupon.RefusedNotStarted, true
	case n > b.PerUserLimit:
		return coupon.RefusedPerUserLimit, true
	case b.NextSerial > b.HiWanted:
		return coupon.RefusedSoldOut, true
	default:
		return 0, false
	}
}
