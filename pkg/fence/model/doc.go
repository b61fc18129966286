// Package model searches every interleaving of a small system that follows the protocol of package fence, and checks in
// each state that no promise is broken.
//
// Nothing of the real code runs here: a state is three users, two Redis nodes, a log, the rows, the failed events, the
// epochs and whoever is in the middle of something; a step is one atomic action of one of them, named after the protocol.
// Every rule that the protocol rests on is a Rule that can be taken out, and then the search must find a violation: a rule
// whose absence changes nothing is either no rule or not tested.
//
// The log is a set: a record that was appended may be handled again, and in any order, for ever. That covers duplicates,
// redelivery, partitions and a rebalance with the old owner still running. A publish that was sent may arrive at any later
// time. Clocks do not exist: whatever the protocol waits for may have passed, or not.
package model
