package mysqlstore

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/issue"
)

type failureRow struct {
	ID      int64
	Status  coupon.FailureStatus
	Carried bool
}

func (f failureRow) live() bool {
	return f.Status == coupon.FailurePending || f.Status == coupon.FailureLeased || f.Status == coupon.FailureParked
}

// look reads what the plan rests on. It is called after the row was locked, so that it sees all that others committed
// under that lock, a fence included.
func (b *batch) look() error {
	if err := b.lookAtTerms(); err != nil {
		return err
	}
	return b.lookAtServed()
}

// lookAtTerms reads all of it but who has a row.
func (b *batch) lookAtTerms() error {
	b.facts = issue.Facts{
		Room: b.room(), PerUserLimit: b.campaign.PerUserLimit,
		Epoch: b.campaign.Epoch, State: b.campaign.EpochState, Mode: b.facts.Mode,
		Bad: map[int]string{}, Owners: map[int64]owner{},
	}
	if err := b.lookAtEpochs(); err != nil {
		return err
	}
	return b.lookAtFailures()
}

func (b *batch) lookAtEpochs() error {
	b.facts.Epochs = map[int64]issue.Epoch{}
	state := b.campaign.EpochState
	if state == coupon.EpochActive || state == coupon.EpochFencing {
		b.facts.Epochs[b.campaign.Epoch] = issue.Epoch{Lo: b.campaign.Lo, HiMax: b.campaign.HiMax, Mode: b.campaign.Mode}
	}
	known := func(d coupon.Delivery) bool { _, ok := b.facts.Epochs[d.Claim.Epoch]; return ok }
	if !slices.ContainsFunc(b.deliveries, func(d coupon.Delivery) bool { return !known(d) }) {
		return nil
	}
	var rows []struct {
		Epoch, Lo, HiMax int64
		Mode             coupon.Mode
	}
	err := b.tx.Raw("SELECT epoch, lo, hi_max, mode FROM campaign_epochs WHERE campaign_id = ? AND opened_at IS NOT NULL",
		b.campaign.ID).Scan(&rows).Error
	for _, row := range rows {
		b.facts.Epochs[row.Epoch] = issue.Epoch{Lo: row.Lo, HiMax: row.HiMax, Mode: row.Mode}
	}
	return err
}

func (b *batch) lookAtFailures() error {
	var ids []int64
	for _, d := range b.deliveries {
		if d.FailedID != 0 {
			ids = append(ids, d.FailedID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []failureRow
	err := b.tx.Raw("SELECT id, status, carried FROM failed_events WHERE id IN ?", ids).Scan(&rows).Error
	b.facts.Failures = make(map[int64]issue.Failure, len(rows))
	for _, row := range rows {
		b.facts.Failures[row.ID] = issue.Failure{Live: row.live(), Carried: row.Carried}
	}
	return err
}

func (b *batch) lookAtServed() error {
	users := make([]string, len(b.deliveries))
	for i, d := range b.deliveries {
		users[i] = d.Claim.User
	}
	var err error
	b.served, err = couponsOfUsers(b.tx, b.campaign.Slug, users)
	b.facts.Served = make(map[owner]int64, len(b.served))
	for who, row := range b.served {
		b.facts.Served[who] = row.Serial
	}
	return err
}

// learnOwners finds who has the serials of rows that may be taken, and what serials are to spare then.
func (b *batch) learnOwners(rows []couponRow) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	serials := make([]int64, len(rows))
	for i, row := range rows {
		serials[i] = row.serial
	}
	var owned []struct {
		Serial int64
		UserID string
		N      int
	}
	err := b.tx.Raw("SELECT serial, user_id, n FROM coupons WHERE campaign_id = ? AND serial IN ?",
		b.campaign.ID, serials).Scan(&owned).Error
	if err != nil {
		return 0, err
	}
	for _, o := range owned {
		b.facts.Owners[o.Serial] = owner{User: o.UserID, N: o.N}
	}
	if len(owned) == 0 {
		return 0, nil
	}
	return len(owned), b.lookForSpare()
}

// lookForSpare reads as many free serials as the batch may need of those that carried events may have.
func (b *batch) lookForSpare() error {
	first, last, err := b.spareRange()
	if err != nil {
		return err
	}
	var used []int64
	err = b.tx.Raw("SELECT serial FROM coupons WHERE campaign_id = ? AND serial >= ? AND serial <= ? ORDER BY serial",
		b.campaign.ID, first, last).Scan(&used).Error
	if err != nil {
		return err
	}
	b.facts.Spare = nil
	for serial := first; serial <= last && len(b.facts.Spare) < len(b.deliveries); serial++ {
		if _, taken := slices.BinarySearch(used, serial); !taken {
			b.facts.Spare = append(b.facts.Spare, serial)
		}
	}
	return nil
}

// spareRange returns the serials that no epoch can give out: those between the epochs before the current one and its lo, of
// which the fence left one for each carried place, and in a retired campaign all above its epochs'.
func (b *batch) spareRange() (first, last int64, err error) {
	newest := b.campaign.Epoch
	switch b.campaign.EpochState {
	case coupon.EpochActive, coupon.EpochFencing:
		newest, last = newest-1, b.campaign.Lo-1
	case coupon.EpochClosed:
		last = math.MaxInt64
	default:
		return 1, 0, nil
	}
	err = b.tx.Raw(`SELECT COALESCE(MAX(hi_max), 0) + 1 FROM campaign_epochs
		WHERE campaign_id = ? AND epoch <= ? AND opened_at IS NOT NULL`, b.campaign.ID, newest).Scan(&first).Error
	return first, last, err
}

// codeEntropy is how many random bytes coupon.NewCode reads; TestNewCodes holds it to that.
const codeEntropy = 15

// newCodes returns n coupon codes, for which it reads randomness once.
func newCodes(random io.Reader, n int) ([]string, error) {
	raw := make([]byte, n*codeEntropy)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	source := bytes.NewReader(raw)
	codes := make([]string, n)
	for i := range codes {
		var err error
		if codes[i], err = coupon.NewCode(source); err != nil {
			return nil, fmt.Errorf("make coupon code: %w", err)
		}
	}
	return codes, nil
}
