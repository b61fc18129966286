package coupon

import "time"

// Level is how far a campaign's stock is used, as Redis holds it.
type Level struct {
	Known     bool  // false when Redis has no keys for the epoch
	Last      int64 // the last serial given out
	Pending   int64 // claims not yet acknowledged by the log
	OldestDue time.Time
	Epoch     int64 // of the document Redis holds; 0 without one
	Version   int64 // of the document Redis holds; 0 without one
}

// Health is what a look at a campaign's claim state found.
type Health struct {
	State HealthState
	Why   string // words for the log; "" of Sound
}

// HealthState says whether claim state can be trusted.
type HealthState uint8

// What a look may find. Only a lost state needs a fence.
const (
	Unreachable HealthState = iota // Redis did not answer: nothing is known
	Sound                          // open at the campaign's epoch, sealed, and the keys agree
	Unopened                       // the keys of the epoch are loaded and no document of it is there: Open finishes it
	Lost                           // restarted, replaced, rewound, flushed or damaged: it can never be trusted again
)

// Settled is what became of a claim that was issued while its user waits: in mode sql, or past a log that is away.
type Settled struct {
	// Verdict is Granted for a row that is new and Held for a claim that was there before, or a refusal. WrongEpoch says
	// that nothing was written: the epoch is not open under that number and mode.
	Verdict Verdict
	Coupon  *Coupon     // of Granted, and of Held once it is a row
	Status  ClaimStatus // of Granted and Held: issued with a Coupon, else pending or failed
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
