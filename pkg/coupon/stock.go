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
	Rows      int64 // coupons of any status
	Users     int64 // distinct users among them
	Issued    int64 // places taken
	Limit     int64
	MaxSerial int64
	Failed    map[FailureStatus]int64

	OldestPending time.Time // when the oldest failed event that is due to batch was kept; zero when there is none
}

// Live counts the failed events that keep a place in the stock.
func (t Totals) Live() int64 {
	return t.Failed[FailurePending] + t.Failed[FailureLeased] + t.Failed[FailureParked]
}
