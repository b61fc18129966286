package mysqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/pkg/issue"
	"github.com/seonchak/seonchak/pkg/planted"
)

// MaxIssue is the most deliveries one Issue takes.
const MaxIssue = 1000

// Issue turns deliveries of one campaign into coupons: the only way a row is born. It answers each delivery in its place.
//
// All of it is one transaction under the lock of the campaign's row: rows, places taken, failed events, and the failed
// events that are done by it. On an error nothing is answered, and either nothing was committed or all of it was (a COMMIT
// whose answer was lost): run it again, what has a row by then is a duplicate. Of a failed event (FailedID) whose delivery
// is parked again only the reason is written: the caller postpones it.
func (s *Store) Issue(ctx context.Context, campaign string, deliveries []coupon.Delivery) ([]coupon.Result, error) {
	if len(deliveries) == 0 {
		return nil, nil
	}
	if len(deliveries) > MaxIssue {
		return nil, fmt.Errorf("issue: %d deliveries, at most %d", len(deliveries), MaxIssue)
	}
	for _, d := range deliveries {
		if d.Claim.Campaign != campaign {
			return nil, fmt.Errorf("issue: a delivery of campaign %q among those of %q", d.Claim.Campaign, campaign)
		}
	}
	var results []coupon.Result
	err := s.transaction(ctx, "issue", func(tx *gorm.DB) error {
		var err error
		results, err = s.issue(tx, campaign, deliveries)
		if err == nil {
			failpoint.Hit(failpoint.CommitSent)
		}
		return err
	})
	if planted.On(planted.SwallowLockTimeout) && serverError(err) == errLockTimeout {
		return slices.Repeat([]coupon.Result{{Outcome: coupon.OutcomeIssued}}, len(deliveries)), nil
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (s *Store) issue(tx *gorm.DB, slug string, deliveries []coupon.Delivery) ([]coupon.Result, error) {
	row, err := lockCampaign(tx, slug)
	if coupon.CodeOf(err) == coupon.CodeCampaignNotFound {
		return s.refuseAll(tx, deliveries)
	}
	if err != nil {
		return nil, err
	}
	b := &batch{
		tx: tx, now: s.now(), random: s.random, campaign: row, deliveries: deliveries,
		facts: issue.Facts{Mode: coupon.ModeRedis},
	}
	if err := b.lookAtTerms(); err != nil {
		return nil, err
	}
	results, rows, won, err := b.insertUnseen()
	if err == nil && !won {
		results, rows, err = b.insertSeen()
	}
	if err != nil {
		return nil, err
	}
	failpoint.Hit(failpoint.InsertSent)
	if err := b.takePlaces(len(rows), 0); err != nil {
		return nil, err
	}
	if err := b.askForFence(results); err != nil {
		return nil, err
	}
	return results, s.settle(tx, row.ID, deliveries, results)
}

// refuseAll keeps events of a campaign that does not exist. The confirm read reads its row, so none was a promise.
func (s *Store) refuseAll(tx *gorm.DB, deliveries []coupon.Delivery) ([]coupon.Result, error) {
	results := make([]coupon.Result, len(deliveries))
	for i := range results {
		results[i] = coupon.Result{
			Outcome: coupon.OutcomeDead, Reason: coupon.ReasonUnknownCampaign, Err: "no such campaign",
		}
	}
	return results, s.settle(tx, 0, deliveries, results)
}

// insertUnseen bets that no delivery has a row yet, as is the rule, and saves the question: rows that go in prove it, for
// both (user, n) and serial are unique. When the bet is lost nothing was inserted. It is not made when some delivery would
// get no row: then who has one decides who gets the room.
func (b *batch) insertUnseen() (results []coupon.Result, rows []couponRow, won bool, err error) {
	results, rows = b.plan()
	if len(rows) < len(b.deliveries) {
		return nil, nil, false, nil
	}
	err = b.insertRows(rows)
	if isDuplicateKey(err) || isBadData(err) {
		return nil, nil, false, nil
	}
	return results, rows, err == nil, err
}

func (b *batch) insertSeen() ([]coupon.Result, []couponRow, error) {
	if err := b.lookAtServed(); err != nil {
		return nil, nil, err
	}
	return b.insert()
}

// insert plans and inserts until a plan goes through. A statement that fails teaches something about at least one row,
// which the next plan heeds; one that teaches nothing is an error.
func (b *batch) insert() ([]coupon.Result, []couponRow, error) {
	for {
		results, rows := b.plan()
		learned, learning := b.learnOwners(b.walled(results))
		if learning != nil {
			return nil, nil, learning
		}
		if learned > 0 {
			continue
		}
		err := b.insertRows(rows)
		if err == nil {
			return results, rows, nil
		}
		switch {
		case isDuplicateKey(err):
			learned, learning = b.learnOwners(rows)
		case isBadData(err):
			learned, learning = b.learnBadRows(rows)
		}
		if learning != nil {
			return nil, nil, learning
		}
		if learned == 0 {
			return nil, nil, err
		}
	}
}

// walled returns the rows that there was no place for, and of whose serials nobody asked yet. No INSERT would meet the
// owner of one, and who lost a serial to another user is to be told from who came too late: it asks for a fence.
func (b *batch) walled(results []coupon.Result) []couponRow {
	var rows []couponRow
	for i, r := range results {
		serial := b.deliveries[i].Claim.Serial
		if _, known := b.facts.Owners[serial]; r.Reason == coupon.ReasonLimitReached && !known {
			rows = append(rows, couponRow{index: i, serial: serial})
		}
	}
	return rows
}

const insertCoupons = `INSERT INTO coupons
	(campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at, expires_at) VALUES `

func (b *batch) insertRows(rows []couponRow) error {
	if len(rows) == 0 {
		return nil
	}
	expiresAt, err := b.expiresAt()
	if err != nil {
		return err
	}
	codes, err := newCodes(b.random, len(rows))
	if err != nil {
		return err
	}
	const columns = 9
	args := make([]any, 0, columns*len(rows))
	for i := range rows {
		row := &rows[i]
		row.code = codes[i]
		c := &b.deliveries[row.index].Claim
		args = append(args, b.campaign.ID, row.serial, c.User, c.N, c.Epoch, row.code, c.ClaimedAt, b.now, expiresAt)
	}
	return b.tx.Exec(insertCoupons+tuples(len(rows), columns), args...).Error
}

// expiresAt is when a coupon issued now expires, nil for never.
func (b *batch) expiresAt() (*time.Time, error) {
	validity, err := b.campaign.validity()
	if err != nil {
		return nil, err
	}
	return validity.ExpiresAt(b.now), nil
}

// takePlaces counts the new rows in, and the serials that were given out for them here. The CHECK is the second wall: the
// plan already stopped at the limit.
func (b *batch) takePlaces(rows, serials int) error {
	if rows == 0 {
		return nil
	}
	return b.tx.Exec("UPDATE campaigns SET issued = issued + ?, next_serial = next_serial + ? WHERE id = ?",
		rows, serials, b.campaign.ID).Error
}

// askForFence asks for the end of the current epoch when one of its serials had two owners, or its serials outnumber the
// places: its Redis lost state, or the record of what is free is wrong. A closed campaign's too: only the end of its epoch
// leaves a serial for who lost one. Not within 2 s of the epoch's opening, so that a conflict seen just then does not end it
// at once.
func (b *batch) askForFence(results []coupon.Result) error {
	for i, r := range results {
		if b.deliveries[i].Claim.Epoch == b.campaign.Epoch && b.contradicts(r.Reason) {
			return b.tx.Exec(wantFence, b.campaign.ID).Error
		}
	}
	return nil
}

const wantFence = `UPDATE campaigns SET fence_wanted = epoch WHERE id = ? AND epoch_state = 'active'
	AND epoch_since < UTC_TIMESTAMP(6) - INTERVAL 2 SECOND`

func (b *batch) contradicts(reason coupon.FailureReason) bool {
	return reason == coupon.ReasonSerialTaken || reason == coupon.ReasonLimitReached && b.facts.Mode == coupon.ModeSQL
}

// learnBadRows finds the rows whose values the database refuses, by halving. It is under a savepoint: what went in
// meanwhile is taken back, for the next plan may give a bad row's place to another.
func (b *batch) learnBadRows(rows []couponRow) (int, error) {
	const savepoint = "halving"
	if err := b.tx.SavePoint(savepoint).Error; err != nil {
		return 0, err
	}
	learned, err := b.halve(rows)
	if err != nil {
		return 0, err // a lock time-out or a lost connection is not about a row: the transaction is given up
	}
	return learned, b.tx.RollbackTo(savepoint).Error
}

func (b *batch) halve(rows []couponRow) (int, error) {
	err := b.insertRows(rows)
	switch {
	case err == nil, isDuplicateKey(err): // a taken serial is learned by the next plan
		return 0, nil
	case !isBadData(err):
		return 0, err
	case len(rows) == 1:
		b.facts.Bad[rows[0].index] = errorText(err)
		return 1, nil
	}
	half := len(rows) / 2
	left, err := b.halve(rows[:half])
	if err != nil {
		return 0, err
	}
	right, err := b.halve(rows[half:])
	return left + right, err
}

// tuples returns "(?,?),(?,?)" for the given number of rows and columns.
func tuples(rows, columns int) string {
	one := "(" + strings.Repeat("?,", columns-1) + "?),"
	return strings.TrimSuffix(strings.Repeat(one, rows), ",")
}

func errorText(err error) string {
	if root := errors.Unwrap(err); root != nil {
		return errorText(root)
	}
	return err.Error()
}
