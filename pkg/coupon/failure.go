package coupon

import (
	"fmt"
	"time"
)

// Delivery is a claim on its way to a row, with what is needed to keep it if it cannot become one.
type Delivery struct {
	Claim    Claim
	Payload  []byte // the event's bytes as they were delivered
	Position string // topic:partition:offset
	FailedID int64  // the failed event that is being retried; 0 for a record fresh from the log
}

// Outcome is what became of one delivery.
type Outcome uint8

// The outcomes of a delivery. Every record of the log ends in exactly one.
const (
	OutcomeIssued    Outcome = iota + 1 // a new row
	OutcomeDuplicate                    // the row was there, same serial
	OutcomeVoid                         // the user was served already under another serial
	OutcomeStale                        // its epoch is closed: it was never a promise
	OutcomeParked                       // kept as a failed event for an operator
	OutcomeFailed                       // kept as a failed event that batch will retry
	OutcomeDead                         // can never become a row; kept with its bytes
)

var outcomeNames = [...]string{"", "issued", "duplicate", "void", "stale", "parked", "failed", "dead"}

// String returns the outcome's name in metrics and summaries.
func (o Outcome) String() string { return outcomeNames[o] }

// Result is an outcome and, where one was kept as a failed event, why.
type Result struct {
	Outcome Outcome
	Reason  FailureReason // of OutcomeParked, OutcomeFailed and OutcomeDead; ReasonSerialTaken on an issued claim that was renumbered
	Err     string        // words for the log and for operators
}

// FailureStatus is where a failed event stands.
type FailureStatus string

// The statuses of a failed event. Live ones (pending, leased, parked) keep their place in the stock.
const (
	FailurePending   FailureStatus = "pending"
	FailureLeased    FailureStatus = "leased"
	FailureDone      FailureStatus = "done"
	FailureParked    FailureStatus = "parked"
	FailureDead      FailureStatus = "dead"
	FailureDiscarded FailureStatus = "discarded"
)

// FailureReason says why an event could not be issued.
type FailureReason string

// The reasons of a failed event.
const (
	ReasonMalformed          FailureReason = "malformed"           // the bytes are not an event
	ReasonUnknownCampaign    FailureReason = "unknown_campaign"    // no such campaign in MySQL
	ReasonSerialRange        FailureReason = "serial_out_of_range" // the serial lies outside its epoch's range
	ReasonPerUserLimit       FailureReason = "per_user_limit"      // n is above the campaign's per-user limit
	ReasonSerialTaken        FailureReason = "serial_taken"        // another user has the serial: Redis lost state unnoticed
	ReasonLimitReached       FailureReason = "limit_reached"       // the last wall held
	ReasonBadRow             FailureReason = "bad_row"             // the database refused the row itself
	ReasonTransientExhausted FailureReason = "transient_exhausted" // a stuck lock; due at once
	ReasonPanic              FailureReason = "panic"               // handling it panicked
)

// FailedEvent is an event that could not be issued, kept with its bytes.
type FailedEvent struct {
	ID       int64
	EventKey string // unique: EventKey of a claim, or the Position of a dead record
	Campaign string // empty when unknown
	Epoch    int64
	Carried  bool // its epoch is closed and its place is kept
	Claim    Claim
	Payload  []byte
	Reason   FailureReason
	Error    string
	Status   FailureStatus
	Attempts int

	NextAttemptAt time.Time
	CreatedAt     time.Time
}

// EventKey names a claim's event: campaign:user:n:epoch:serial. A dead event is never filed under it, so poison cannot
// occupy the key of a promise.
func (c Claim) EventKey() string {
	return fmt.Sprintf("%s:%s:%d:%d:%d", c.Campaign, c.User, c.N, c.Epoch, c.Serial)
}
