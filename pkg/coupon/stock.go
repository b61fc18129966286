package coupon

import "time"

// Level is how far a campaign's stock is used, as Redis holds it.
type Level struct {
	Known     bool  // false when Redis has no keys for the epoch
	Last      int64 // the last serial given out
	Pending   int64 // claims not yet acknowledged by the log
	OldestDue time.Time
	Version   int64 // of the document Redis holds; 0 without one
}

// Pushed is what Redis holds after a document was pushed to it, applied or not.
type Pushed struct {
	Version int64
	Hi      int64
	Last    int64
}

// Totals is what MySQL holds of a campaign.
type Totals struct {
	Rows       int64 // coupons of any status
	Issued     int64 // places taken
	Limit      int64
	LiveEvents int64 // places kept for failed events: one for each (user, n) that has a live one and no row
	Failed     map[FailureStatus]int64

	LastClaimedAt time.Time // of the highest serial; zero without a row

	OldestPending time.Time // when the oldest failed event that is due to batch was kept; zero when there is none
}

// Live returns how many places of the stock are kept for failed events. It may be less than Failed counts: the event of a
// claim that became a row by another delivery keeps none, until a retry finds the row.
func (t Totals) Live() int64 { return t.LiveEvents }
