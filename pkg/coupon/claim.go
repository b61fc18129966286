package coupon

import "time"

// Key is the idempotency key of everything: which of a user's coupons in which campaign.
type Key struct {
	Campaign string
	User     string
	N        int // 1 to the campaign's per-user limit
}

// Claim is a granted place. Its serial is unique in the campaign and rises with the order of arrival.
type Claim struct {
	Key
	Epoch     int64
	Serial    int64
	ClaimedAt time.Time // by the clock that granted it: Redis TIME, or the database's
}

// Mark is what Redis remembers of a claim's way to durability.
type Mark byte

// The marks. Only Acked and Issued prove that the log or the database holds the claim.
const (
	MarkReserved Mark = 'p' // granted, not known to be in the log
	MarkAcked    Mark = 'a' // the log acknowledged it
	MarkIssued   Mark = 'i' // it was a row when the epoch was loaded
	MarkCarried  Mark = 'c' // a failed event carried over from a closed epoch
)

// Durable reports whether the claim is known to be in the log or the database, so it needs no publishing.
func (m Mark) Durable() bool { return m == MarkAcked || m == MarkIssued }

// Verdict is what the stock decided about one apply.
type Verdict uint8

// The verdicts. Granted and Held carry a claim; a refusal leaves none.
const (
	Granted             Verdict = iota + 1 // a new claim
	Held                                   // the user has this very claim already
	RefusedSoldOut                         // no place was free
	RefusedNotStarted                      // before the window
	RefusedEnded                           // after the window, or the campaign is closed
	RefusedPaused                          // paused by the operator
	RefusedPerUserLimit                    // n is above the per-user limit
	WrongEpoch                             // the caller's epoch is not the one in Redis: reload the view
	Unsealed                               // this Redis is not the one the epoch was opened on: nothing may be granted
	Broken                                 // the keys contradict one another, or are gone: nothing may be granted
)

// Decision is the stock's answer to one apply.
type Decision struct {
	Verdict Verdict
	Claim   Claim // of Granted and Held
	Mark    Mark  // of Granted and Held
	Hi      int64 // of RefusedSoldOut: the highest serial Redis could have given
}

// Batch is keys of one epoch that the stock decides about, or forgets, in one step.
type Batch struct {
	EpochRef
	Keys []Key
}

// Decided is what became of a batch: a decision for each key in their order, or an error, after which nothing is known of any.
type Decided struct {
	Decisions []Decision
	Err       error
}

// ClaimStatus is a claim as its user sees it. Only accepted and issued are promises.
type ClaimStatus string

// The statuses of a claim.
const (
	StatusPending  ClaimStatus = "pending"  // place taken, not yet durable
	StatusAccepted ClaimStatus = "accepted" // durable: it will become a row
	StatusIssued   ClaimStatus = "issued"   // the coupon exists
	StatusFailed   ClaimStatus = "failed"   // parked: an operator is looking
)

// Final reports whether the status will not change without an operator.
func (s ClaimStatus) Final() bool { return s == StatusIssued || s == StatusFailed }

// Take says which pending claims a sweeper wants, and for how long they are its own.
type Take struct {
	Limit   int
	Lease   time.Duration
	Overdue time.Duration // only those due for at least this long
}
