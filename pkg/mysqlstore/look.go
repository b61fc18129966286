package mysqlstore

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/seonchak/seonchak/pkg/coupon"
)

type epochRow struct{ Epoch, Lo, HiMax int64 }

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
	b.bad, b.owners = map[int]string{}, map[int64]owner{}
	if err := b.lookAtEpochs(); err != nil {
		return err
	}
	if err := b.lookAtFailures(); err != nil {
		return err
	}
	return b.lookAtServed()
}

func (b *batch) lookAtEpochs() error {
	b.epochs = map[int64]epochRow{}
	state := b.campaign.EpochState
	if state == coupon.EpochActive || state == coupon.EpochFencing {
		b.epochs[b.campaign.Epoch] = epochRow{b.campaign.Epoch, b.campaign.Lo, b.campaign.HiMax}
	}
	known := func(d coupon.Delivery) bool { _, ok := b.epochs[d.Claim.Epoch]; return ok }
	if !slices.ContainsFunc(b.deliveries, func(d coupon.Delivery) bool { return !known(d) }) {
		return nil
	}
	var rows []epochRow
	err := b.tx.Raw("SELECT epoch, lo, hi_max FROM campaign_epochs WHERE campaign_id = ? AND opened_at IS NOT NULL",
		b.campaign.ID).Scan(&rows).Error
	for _, row := range rows {
		b.epochs[row.Epoch] = row
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
	b.failures = make(map[int64]failureRow, len(rows))
	for _, row := range rows {
		b.failures[row.ID] = row
	}
	return err
}

// lookAtServed reads the rows of the batch's users: by user alone, which both servers turn into a range of the unique key.
func (b *batch) lookAtServed() error {
	args := make([]any, 1, len(b.deliveries)+1)
	args[0] = b.campaign.ID
	for _, d := range b.deliveries {
		if coupon.ValidUserID(d.Claim.User) { // no other has a row, and bytes of another character set would cost the index
			args = append(args, d.Claim.User)
		}
	}
	b.served = map[owner]int64{}
	users := len(args) - 1
	if users == 0 {
		return nil
	}
	rows, err := b.tx.Raw("SELECT user_id, n, serial FROM coupons WHERE campaign_id = ? AND user_id IN "+tuples(1, users),
		args...).Rows()
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var who owner
		var serial int64
		if err := rows.Scan(&who.user, &who.n, &serial); err != nil {
			return err
		}
		b.served[who] = serial
	}
	return rows.Err()
}

// learnOwners finds who has the serials of rows, after an INSERT met one that is taken, and what serials are to spare.
func (b *batch) learnOwners(rows []couponRow) (int, error) {
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
		b.owners[o.Serial] = owner{o.UserID, o.N}
	}
	if len(owned) == 0 {
		return 0, nil
	}
	return len(owned), b.lookForSpare()
}

// lookForSpare reads the free serials between the epochs before the current one and its lo: the fence left one for each
// carried place.
func (b *batch) lookForSpare() error {
	state := b.campaign.EpochState
	if state != coupon.EpochActive && state != coupon.EpochFencing {
		return nil
	}
	var first int64
	err := b.tx.Raw(`SELECT COALESCE(MAX(hi_max), 0) + 1 FROM campaign_epochs
		WHERE campaign_id = ? AND epoch < ? AND opened_at IS NOT NULL`, b.campaign.ID, b.campaign.Epoch).Scan(&first).Error
	if err != nil {
		return err
	}
	var used []int64
	err = b.tx.Raw("SELECT serial FROM coupons WHERE campaign_id = ? AND serial >= ? AND serial < ? ORDER BY serial",
		b.campaign.ID, first, b.campaign.Lo).Scan(&used).Error
	if err != nil {
		return err
	}
	b.spare = nil
	for serial := first; serial < b.campaign.Lo && len(b.spare) < len(b.deliveries); serial++ {
		if _, taken := slices.BinarySearch(used, serial); !taken {
			b.spare = append(b.spare, serial)
		}
	}
	return nil
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
