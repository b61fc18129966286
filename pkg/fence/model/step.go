package model

import "fmt"

// step names one transition.
type step struct {
	what          string
	user, node    int8 // -1 = none
	who           int8 // the warden or pusher, -1 = none
	epoch, serial uint8
}

// String says the step in words: "claim: user A, node 0, epoch 1, serial 2".
func (s step) String() string {
	words := s.what
	comma := ":"
	add := func(format string, value any) {
		words += comma + fmt.Sprintf(format, value)
		comma = ","
	}
	if s.user >= 0 {
		add(" user %c", 'A'+rune(s.user))
	}
	if s.node >= 0 {
		add(" node %d", s.node)
	}
	if s.who >= 0 {
		add(" #%d", s.who)
	}
	if s.epoch > 0 {
		add(" epoch %d", s.epoch)
	}
	if s.serial > 0 {
		add(" serial %d", s.serial)
	}
	return words
}

func of(what string) step { return step{what: what, user: -1, node: -1, who: -1} }

func (s step) by(user int) step { s.user = int8(user); return s }
func (s step) on(node int) step { s.node = int8(node); return s }
func (s step) as(who int) step  { s.who = int8(who); return s }

func (s step) about(c claims) step { return s.at(c.epoch(), c.serial()) }

func (s step) at(epoch, serial uint8) step {
	s.epoch, s.serial = epoch, serial
	return s
}

// machine makes the successors of states.
type machine struct {
	Config
	without  [ruleCount]bool
	allRules bool
	visit    func(step, *state) // of each successor; the state is the visitor's
	moved    bool               // a successor differs and was progress: the state before it is not at rest
	wrong    string             // what a step did that no promise allows
}

func (m *machine) rule(r Rule) bool { return !m.without[r] }

// try hands on a successor that may or may not come.
func (m *machine) try(what step, next *state) { m.visit(what, next) }

// progress hands on a successor that will come when nothing else happens.
func (m *machine) progress(what step, before, next *state) {
	if *before != *next {
		m.moved = true
	}
	m.visit(what, next)
}

func (m *machine) successors(s *state) {
	m.moved = false
	m.applies(s)
	m.log(s)
	m.failures(s)
	m.fence(s)
	m.stock(s)
	m.faults(s)
}

// start is a campaign that was just opened on node 0, of which node 1 is the replica.
func (m *machine) start() state {
	var s state
	s.current, s.limit, s.hi, s.hiWanted, s.version = 1, m.Limit, m.Limit, m.Limit, 1
	s.epochs[1] = epoch{state: active, activated: true, lo: 1, hiMax: m.Limit, owner: 1}
	s.nodes[0] = node{master: true, meta: 1, seal: 1, hi: m.Limit, version: 1}
	if m.Nodes > 1 {
		s.nodes[1] = s.nodes[0]
		s.nodes[1].master = false
	}
	return s
}
