package mysqlstore

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/pkg/issue"
)

// Direct turns claims of one campaign's epoch into coupons while their users wait, and answers each in its place. It is
// issue() without the log: one transaction under the lock of the campaign's row, judged by the same plan.
//
// A claim with a serial is a grant of Redis that the log did not take. One that becomes a row is Granted. What has a row, or
// a live failed event, is Held. What Issue would keep as a failed event is kept, and Held while pending. WrongEpoch says that
// its epoch is closed.
//
// A claim without a serial is a wish, for mode sql: WrongEpoch for all of them unless the epoch is open in that mode. Who has
// a row or a live failed event is Held whatever the campaign's status says; the others are judged in the order given, by the
// database's clock, and the serials of those who are Granted rise in that order. Broken says that a serial was free and a
// place was not: nothing was written for that wish, and a fence was asked for, which will count anew what is free.
//
// On an error nothing is known, and running it again is safe: what was committed is then Held. CodeCampaignNotFound when
// there is no such campaign.
func (s *Store) Direct(ctx context.Context, campaign string, epoch int64, claims []coupon.Claim) ([]coupon.Settled, error) {
	if err := mayBeDirect(campaign, epoch, claims); err != nil || len(claims) == 0 {
		return nil, err
	}
	var settled []coupon.Settled
	err := s.transaction(ctx, "issue directly", func(tx *gorm.DB) error {
		row, err := lockCampaign(tx, campaign)
		if err != nil {
			return err
		}
		if settled, err = s.direct(tx, row, epoch, claims); err == nil {
			failpoint.Hit(failpoint.DirectSent)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return settled, nil
}

func mayBeDirect(campaign string, epoch int64, claims []coupon.Claim) error {
	if len(claims) > MaxIssue {
		return fmt.Errorf("issue directly: %d claims, at most %d", len(claims), MaxIssue)
	}
	for _, c := range claims {
		switch {
		case c.Campaign != campaign:
			return fmt.Errorf("issue directly: a claim of campaign %q among those of %q", c.Campaign, campaign)
		case c.Serial != 0 && c.Epoch != epoch:
			return fmt.Errorf("issue directly: a claim of epoch %d among those of %d", c.Epoch, epoch)
		case !coupon.ValidUserID(c.User) || c.N < 1 || c.Serial < 0:
			return fmt.Errorf("issue directly: no claim can be %q, n %d, serial %d", c.User, c.N, c.Serial)
		}
	}
	return nil
}

func (s *Store) direct(tx *gorm.DB, row *campaignRow, epoch int64, claims []coupon.Claim) ([]coupon.Settled, error) {
	d := newDirect(tx, row, epoch, claims)
	d.now, d.random = s.now(), s.random
	if err := d.look(); err != nil {
		return nil, err
	}
	d.judgeAll()
	results, rows, err := d.insert()
	if err != nil {
		return nil, err
	}
	if err := d.conclude(results, rows); err != nil {
		return nil, err
	}
	if err := d.takePlaces(len(rows), d.serialsGiven(rows)); err != nil {
		return nil, err
	}
	if err := d.askForFence(results); err != nil || d.sells {
		return d.settled, err // a wish that got no place was no promise: nothing is kept of it
	}
	return d.settled, s.settle(tx, row.ID, d.deliveries, results)
}

// direct is a batch whose users wait.
type direct struct {
	batch
	sells   bool // the epoch is open in mode sql: serials are given out here
	claims  []coupon.Claim
	settled []coupon.Settled
	live    map[owner]coupon.FailureStatus
	at      []int         // where the claim of each delivery stands in claims
	first   map[owner]int // the first claim of each (user, n) that is a delivery
	twins   map[int]int   // the others, and that first one
}

func newDirect(tx *gorm.DB, row *campaignRow, epoch int64, claims []coupon.Claim) *direct {
	d := &direct{
		batch:  batch{tx: tx, campaign: row, facts: issue.Facts{Mode: coupon.ModeRedis}},
		sells:  row.Mode == coupon.ModeSQL && row.EpochState == coupon.EpochActive && row.Epoch == epoch,
		claims: claims, settled: make([]coupon.Settled, len(claims)),
		first: map[owner]int{}, twins: map[int]int{},
	}
	if d.sells {
		d.facts.Mode = coupon.ModeSQL
	}
	return d
}

// look reads what the judgement rests on, for those claims that anything can be said of. In mode sql that includes the
// time, read after the row was locked: a statement's own time is that of its beginning, and it may have waited.
func (d *direct) look() error {
	users := make([]string, 0, len(d.claims))
	for _, c := range d.claims {
		if d.sells || c.Serial != 0 {
			d.deliveries = append(d.deliveries, coupon.Delivery{Claim: c})
			users = append(users, c.User)
		}
	}
	if len(users) == 0 {
		return nil
	}
	if d.sells {
		if err := d.tx.Raw("SELECT UTC_TIMESTAMP(6)").Row().Scan(&d.now); err != nil {
			return err
		}
	}
	var err error
	if d.live, err = liveFailures(d.tx, d.campaign.Slug, users); err != nil {
		return err
	}
	return d.batch.look()
}

// judgeAll settles what needs no new row, and leaves as deliveries what may become one.
func (d *direct) judgeAll() {
	d.deliveries = d.deliveries[:0]
	next := d.campaign.NextSerial
	for i, c := range d.claims {
		who := owner{User: c.User, N: c.N}
		settled, done := d.judge(c, who, next)
		if done {
			d.settled[i] = settled
			continue
		}
		if first, twin := d.first[who]; twin {
			d.twins[i] = first
			continue
		}
		if c.Serial == 0 {
			c.Epoch, c.Serial, c.ClaimedAt = d.campaign.Epoch, next, d.now
			next++
		}
		d.first[who] = i
		d.at = append(d.at, i)
		d.deliveries = append(d.deliveries, coupon.Delivery{Claim: c})
	}
}

func (d *direct) judge(c coupon.Claim, who owner, next int64) (settled coupon.Settled, done bool) {
	wish := c.Serial == 0
	if wish && !d.sells {
		return coupon.Settled{Verdict: coupon.WrongEpoch}, true
	}
	if row, served := d.served[who]; served {
		return heldAs(row.coupon()), true
	}
	if status, failed := d.live[who]; failed {
		return heldBack(status), true
	}
	if _, twin := d.first[who]; twin {
		return coupon.Settled{}, false
	}
	if d.sells && !wish {
		return coupon.Settled{Verdict: coupon.WrongEpoch}, true
	}
	if !wish {
		return coupon.Settled{}, false
	}
	refusal, refused := d.refusal(c.N, next)
	return coupon.Settled{Verdict: refusal}, refused
}

// refusal judges a wish as the claim script judges it.
func (d *direct) refusal(n int, next int64) (coupon.Verdict, bool) {
	c := d.campaign
	switch {
	case c.Status == coupon.CampaignClosed || !d.now.Before(c.EndsAt):
		return coupon.RefusedEnded, true
	case c.Status == coupon.CampaignPaused:
		return coupon.RefusedPaused, true
	case c.Status == coupon.CampaignDraft || d.now.Before(c.StartsAt):
		return coupon.RefusedNotStarted, true
	case n > c.PerUserLimit:
		return coupon.RefusedPerUserLimit, true
	case next > c.HiWanted:
		return coupon.RefusedSoldOut, true
	default:
		return 0, false
	}
}
