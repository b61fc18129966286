package mysqlstore

import (
	"io"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/issue"
	"github.com/seonchak/seonchak/pkg/planted"
)

// batch is one Issue under the lock of its campaign's row: what was read there, and what failed statements taught.
type batch struct {
	tx         *gorm.DB
	now        time.Time
	random     io.Reader
	campaign   *campaignRow
	deliveries []coupon.Delivery

	facts  issue.Facts         // what the plan rests on; Mode is set before look, the rest by it
	served map[owner]issuedRow // the rows of (user, n) that have one
}

// owner is whose coupon a row is, within a campaign.
type owner = issue.Owner

// couponRow is a row to insert: which delivery it is for, its serial (the claim's, unless it was renumbered), and the code
// it was inserted with.
type couponRow struct {
	index  int
	serial int64
	code   string
}

// plan decides what becomes of each delivery, given all that is known.
func (b *batch) plan() ([]coupon.Result, []couponRow) {
	results, planned := b.facts.Plan(b.deliveries)
	rows := make([]couponRow, len(planned))
	for i, row := range planned {
		rows[i] = couponRow{index: row.Index, serial: row.Serial}
	}
	return results, rows
}

// room is how many places are free, as the locked row says: the wall that holds whatever the claims say.
func (b *batch) room() int64 {
	if planted.On(planted.NoWalls) {
		return int64(len(b.deliveries))
	}
	return b.campaign.LimitCount - b.campaign.Issued
}
