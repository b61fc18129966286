// Package planted names the bugs that the evidence suite must catch, and switches one on in a program built to fail.
//
// A suite that never failed is no evidence. With the build tag planted, SEONCHAK_PLANTED names the bug the program has;
// without the tag On is false at compile time and nothing of a bug is in the program.
package planted

// Bug is a mistake that somebody could make in this system.
type Bug string

// The bugs. Each breaks one rule that the promise rests on.
const (
	CompensateOnTimeout Bug = "compensate-on-timeout"     // gives the place back when a publish times out
	OffsetFirst         Bug = "offset-before-transaction" // commits the offset before the rows
	SwallowLockTimeout  Bug = "swallow-1205"              // takes a lock time-out for success
	NoSeal              Bug = "no-seal"                   // lets any Redis grant
	NoConfirm           Bug = "no-confirm"                // says accepted without asking MySQL
	ForgetBeforeAck     Bug = "forget-before-ack"         // drops pending before the log has the claim
	SoldOutForEver      Bug = "sold-out-for-ever"         // never asks again after one sold_out
	UserFromBody        Bug = "user-from-body"            // believes the user the body names
	NoEpochCheck        Bug = "no-epoch-check"            // issues claims of closed epochs
	NoWalls             Bug = "no-walls"                  // neither reads issued under the lock nor has the CHECK
)
