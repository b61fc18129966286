// Package failpoint names the instants at which the system must survive a crash, and dies there when it is told to.
//
// In a program built with the tag failpoints, SEONCHAK_FAILPOINTS="C3=17,A5=200" kills it with SIGKILL at its 17th pass of
// C3 or its 200th of A5, whichever comes first. Without the tag Hit compiles to nothing.
package failpoint

// Point is a crash point, named as in docs/reliability.md.
type Point string

// The crash points of the apply path, between every two steps of a grant.
const (
	RequestRead    Point = "A1"
	ScriptSent     Point = "A2" // the call to Redis is on its way: dies while it runs
	ScriptReplied  Point = "A3"
	ProduceSent    Point = "A4"
	AckRead        Point = "A5"
	Confirmed      Point = "A6"
	Answered       Point = "A7"
	DirectSent     Point = "A8" // the COMMIT of a direct issue() is on its way
	SweepRead      Point = "S1"
	SweepPublished Point = "S2"
)

// The crash points of the consumer and of batch.
const (
	Fetched        Point = "C1"
	InsertSent     Point = "C2"
	CommitSent     Point = "C3" // the COMMIT of issue() is on its way
	Committed      Point = "C4"
	RetryClaimed   Point = "B1"
	RetryApplied   Point = "B2"
	CancelSent     Point = "R1" // the COMMIT of a cancel is on its way
	CancelUnpushed Point = "R2"
	LoweringWished Point = "L1"
	LoweringTaken  Point = "L2"
)

// The crash points of the fence: after each of its steps F1 to F8.
const (
	FenceBegun    Point = "W1"
	FenceSwept    Point = "W2"
	BarrierMade   Point = "W3"
	LogDrained    Point = "W4"
	EpochClosed   Point = "W5"
	EpochLoaded   Point = "W6"
	EpochActive   Point = "W7"
	EpochUnlocked Point = "W8" // open in Redis, the old keys still there
)
