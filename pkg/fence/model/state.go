package model

import "math/bits"

// How large the system is. The configurations use less of some.
const (
	userCount   = 3
	nodeCount   = 2
	maxEpoch    = 4
	maxSerial   = 15
	flightCount = 2
	wardenCount = 2
	pusherCount = 2
)

// claims is a set of one user's claims, a bit for each epoch and serial.
type claims uint64

func claimOf(epoch, serial uint8) claims { return 1 << (16*(epoch-1) + serial) }

func ofEpoch(epoch uint8) claims { return 0xffff << (16 * (epoch - 1)) }

// ofSerial is the set of a serial's claims: one for each epoch.
func ofSerial(serial uint8) claims {
	return claimOf(1, serial) | claimOf(2, serial) | claimOf(3, serial) | claimOf(4, serial)
}

// pop returns one claim of the set, and the rest.
func (c claims) pop() (one, rest claims) { return c & -c, c & (c - 1) }

func (c claims) epoch() uint8  { return uint8(bits.TrailingZeros64(uint64(c))/16 + 1) }
func (c claims) serial() uint8 { return uint8(bits.TrailingZeros64(uint64(c)) % 16) }

// mark is what Redis remembers of a claim's way to durability.
type mark uint8

const (
	unknown mark = iota
	reserved
	acked
	issued
	carried
)

// entry is a user's place in the keys of one epoch on one node.
type entry struct {
	serial uint8
	mark   mark
}

// stage is how far an apply has come.
type stage uint8

const (
	idle      stage = iota
	claimed         // Redis gave or showed the serial; it is to be published
	published       // the publish is on its way
	durable         // acknowledged, or marked so: the confirm read is next
	confirmed       // only without the rule ConfirmAfterAck: confirmed, not acknowledged
	sqlSent         // a transaction of mode sql is on its way, with the epoch its sender knew
)

// flight is an apply that an api-server is working on. When the server dies it is gone.
type flight struct {
	stage         stage
	epoch, serial uint8
}

// user is all that the stores, and the servers working for them, know of one user. The per-user limit is one.
type user struct {
	produced, logged, done claims              // sent to the log, appended, and past the committed offset
	filed, live, carried   claims              // failed events: ever kept, still to be retried, carried over
	due                    [wardenCount]claims // what lay before the end of the log that a warden learned
	row                    claims              // the coupon: one claim or none
	bound                  claims              // what binding answers named: one claim or none
	returned               bool                // the coupon was cancelled and its place given back
	keys, loaded           [nodeCount]entry    // of the epoch in meta, and of the one being loaded
	flights                [flightCount]flight
}

func (u *user) take(f flight) {
	for i := range u.flights {
		if u.flights[i].stage == idle {
			u.flights[i] = f
			return
		}
	}
}

// node is a Redis. Its replication id changes whenever its history may have been cut; only whether a seal is that of a
// node as it is now can ever matter, so a seal is the node's number plus one, and 0 once that history is over.
type node struct {
	master         bool
	meta           uint8 // the epoch of the document, 0 without one
	seal           uint8
	hi, version    uint8 // of the document
	count          uint8
	loading        uint8 // the epoch whose keys are being loaded, 0 when there are none
	loadingIsWhole bool  // nothing of them was lost since the load began
}

type epochState uint8

const (
	unborn epochState = iota
	loading
	active
	fencing
	closed
)

// epoch is a row of campaign_epochs.
type epoch struct {
	state     epochState
	sql       bool
	activated bool
	lo, hiMax uint8
	owner     uint8 // the seal that may grant
}

// post is where a warden stands. Only MySQL remembers a fence: a warden that dies forgets its post.
type post uint8

const (
	watching   post = iota
	endLearned      // F3 done
	drained         // F4 done
	closing         // F5 done: the epoch is its own to load
	sealRead        // F6: seal read, keys prepared
	firstHalf       // F6: carried events loaded (rows, without the rule CarriedFirst)
	allLoaded       // F6 done
	activated       // F7 done
)

type warden struct {
	post  post
	epoch uint8
	node  uint8
	seal  uint8
	hi    uint8 // of the document it read in F7
	vers  uint8
}

// pusher is a server bringing the document to Redis. Its answer may come late.
type pusher struct {
	stage    pushStage
	epoch    uint8
	hi, vers uint8
	lowering uint8
	taken    bool
}

type pushStage uint8

const (
	resting pushStage = iota
	sent
	replied
)

// state is one state of the system: comparable, of fixed size.
type state struct {
	users   [userCount]user
	nodes   [nodeCount]node
	epochs  [maxEpoch + 1]epoch
	wardens [wardenCount]warden
	pushers [pusherCount]pusher

	current                 uint8 // the campaign's row, from here
	limit, issued           uint8
	hi, hiWanted, next      uint8
	lowering, wish, version uint8 // places an open lowering takes, and the version it began with
	seenEpoch, seen         uint8 // the hi that a server has seen for two seconds
	used                    Budget
	rewound                 bool
}

func (s *state) epoch() *epoch { return &s.epochs[s.current] }

// open reports whether claims of an epoch may become rows.
func (s *state) open(e uint8) bool {
	return e == s.current && (s.epochs[e].state == active || s.epochs[e].state == fencing)
}

// confirms is the confirm read.
func (s *state) confirms(e uint8) bool { return e == s.current && s.epochs[e].state == active }

func (s *state) inFlight() int {
	n := 0
	for u := range s.users {
		for _, f := range s.users[u].flights {
			if f.stage != idle {
				n++
			}
		}
	}
	return n
}

// keepsPlace reports whether a failed event keeps a place for a user: a carried one, or one of the epoch that is open. Any
// other is of a record behind a barrier, and is found stale when it is retried.
func (s *state) keepsPlace(u *user) bool {
	return u.row == 0 && u.live&(u.carried|ofEpoch(s.current)) != 0
}

// keptPlaces counts the places that failed events keep: one for each user.
func (s *state) keptPlaces() uint8 {
	n := uint8(0)
	for u := range s.users {
		if s.keepsPlace(&s.users[u]) {
			n++
		}
	}
	return n
}
