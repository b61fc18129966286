package mysqlstore

import (
	"fmt"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
)

func heldAs(c coupon.Coupon) coupon.Settled {
	return coupon.Settled{Verdict: coupon.Held, Coupon: &c, Status: coupon.StatusIssued}
}

func heldBack(status coupon.FailureStatus) coupon.Settled {
	if status == coupon.FailureParked {
		return coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusFailed}
	}
	return coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusPending}
}

// conclude settles the deliveries by what became of them, and their twins likewise.
func (d *direct) conclude(results []coupon.Result, rows []couponRow) error {
	for i, r := range results {
		settled, err := d.outcome(&d.deliveries[i], r)
		if err != nil {
			return err
		}
		d.settled[d.at[i]] = settled
	}
	expiresAt, err := d.expiresAt()
	if err != nil {
		return err
	}
	for _, row := range rows {
		d.settled[d.at[row.index]].Coupon = d.coupon(row, expiresAt)
	}
	for i, first := range d.twins {
		d.settled[i] = d.settled[first]
		if d.settled[i].Verdict == coupon.Granted {
			d.settled[i].Verdict = coupon.Held
		}
	}
	return nil
}

func (d *direct) outcome(delivery *coupon.Delivery, r coupon.Result) (coupon.Settled, error) {
	switch {
	case r.Outcome == coupon.OutcomeIssued:
		return coupon.Settled{Verdict: coupon.Granted, Status: coupon.StatusIssued}, nil
	case r.Outcome == coupon.OutcomeStale:
		return coupon.Settled{Verdict: coupon.WrongEpoch}, nil
	case !d.sells:
		delivery.Payload = event.Encode(delivery.Claim)
		return coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusPending}, nil
	case r.Reason == coupon.ReasonLimitReached:
		return coupon.Settled{Verdict: coupon.Broken}, nil
	default: // the database refuses a serial that it gave out itself: the serials of this batch would have a gap
		return coupon.Settled{}, fmt.Errorf("serial %d cannot be a coupon: %s", delivery.Claim.Serial, r.Err)
	}
}

// coupon is the row as the database has it: to the microsecond.
func (d *direct) coupon(row couponRow, expiresAt *time.Time) *coupon.Coupon {
	c := coupon.Coupon{
		Claim: d.deliveries[row.index].Claim, Code: row.code, Status: coupon.CouponActive, IssuedAt: stored(d.now),
	}
	c.Serial, c.ClaimedAt = row.serial, stored(c.ClaimedAt)
	if expiresAt != nil {
		t := stored(*expiresAt)
		c.ExpiresAt = &t
	}
	return &c
}

func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func (d *direct) serialsGiven(rows []couponRow) int {
	if d.sells {
		return len(rows)
	}
	return 0
}
