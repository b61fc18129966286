package model

// Rule is one thing that the protocol forbids or prescribes.
type Rule uint8

// The rules. Each can be taken out of a search.
const (
	Seal             Rule = iota // Redis grants only under the replication id that owns the epoch
	Confirm                      // accepted is said only after the confirm read found the epoch still active
	ConfirmAfterAck              // and that read begins after the log acknowledged
	ReplayPublishes              // a repeat that finds the claim reserved publishes it again
	MarkAfterAck                 // the mark a is written only after the log acknowledged
	CarriedFromMySQL             // a repeat that finds the claim carried is answered from MySQL
	EpochCheck                   // issue() takes claims of a closed epoch only from carried events
	VoidKeepsPlace               // a late record whose user is served gives no place back
	SpareSerial                  // a carried event whose serial is taken gets a spare one below lo

	FenceBeforeEnd // fencing is committed before the log's end is learned
	Drain          // an epoch is closed only when the log is drained to that end
	NamedStep      // every step of a fence names the epoch and the state it starts from
	FreshRange     // a new epoch's serials lie above all that an earlier one could have given
	CarriedCounted // a new epoch leaves the carried places out
	CarryPromises  // an epoch's end carries its own live events and those carried before, no others
	CarriedFirst   // the keys are loaded from carried events first, then from rows
	OwnerFirst     // the owner is fixed in MySQL before any grant
	WholeKeys      // an epoch opens only on keys of which nothing was lost since the load began
	SettleAtClose  // an epoch's end settles an open lowering first

	SQLEpoch  // a transaction of mode sql checks mode, state and its sender's epoch
	SQLWanted // and grants while next_serial <= hi_wanted, never by issued < limit

	RangeFollowsHi     // raising hi raises the highest serial that issue() takes
	WantedWithinHi     // hi_wanted becomes what a server has seen, or hi when that is less
	NoRaiseInLowering  // and not while a lowering is open
	LowerInTwoPhases   // the limit is lowered only after Redis has taken the smaller hi
	LoweringNamed      // an answer of Redis settles only the lowering it was asked about
	VersionedPush      // Redis takes a document only if its version is larger
	DiscardCarriedOnly // only a carried event can be discarded, so that nothing of its claim can come back
	DiscardReturnsOnce // and its place is returned only if no row has it
	ruleCount
)

var ruleNames = [ruleCount]string{
	"Seal", "Confirm", "ConfirmAfterAck", "ReplayPublishes", "MarkAfterAck", "CarriedFromMySQL", "EpochCheck",
	"VoidKeepsPlace", "SpareSerial", "FenceBeforeEnd", "Drain", "NamedStep", "FreshRange", "CarriedCounted", "CarryPromises",
	"CarriedFirst", "OwnerFirst", "WholeKeys", "SettleAtClose", "SQLEpoch", "SQLWanted", "RangeFollowsHi", "WantedWithinHi",
	"NoRaiseInLowering", "LowerInTwoPhases", "LoweringNamed", "VersionedPush", "DiscardCarriedOnly", "DiscardReturnsOnce",
}

// String returns the rule's name.
func (r Rule) String() string { return ruleNames[r] }

// Rules returns all rules.
func Rules() []Rule {
	all := make([]Rule, ruleCount)
	for i := range all {
		all[i] = Rule(i)
	}
	return all
}
