package coupon

import "time"

// AdjustmentKind says how a campaign's stock changed after it was created.
type AdjustmentKind string

// The kinds of adjustment.
const (
	AdjustmentRaise  AdjustmentKind = "raise"
	AdjustmentLower  AdjustmentKind = "lower"
	AdjustmentReturn AdjustmentKind = "return" // a cancelled coupon's, or a discarded failed event's, place
)

// Adjustment is one entry of a campaign's stock ledger.
type Adjustment struct {
	ID        int64
	Kind      AdjustmentKind
	Delta     int64  // places: what a raise or a return adds is positive, what a lowering takes negative
	Ref       string // of a return: what gave its place back
	Reason    string
	Actor     string
	CreatedAt time.Time
}
