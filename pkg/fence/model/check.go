package model

// promises says what a state breaks that must hold at every instant, or nothing.
func (m *machine) promises(s *state) string {
	if s.issued > s.limit {
		return "I1: more places taken than the limit"
	}
	if s.hiWanted > s.hi {
		return "section 8: hi_wanted is above hi"
	}
	if words := m.serials(s); words != "" {
		return words
	}
	open := uint8(0)
	for u := range s.users {
		who := &s.users[u]
		if who.bound == 0 || who.row != 0 {
			continue
		}
		open++
		if !s.willBeRow(who) {
			return "I4: a binding answer with no row, no record to come and no failed event"
		}
	}
	if s.issued+open > s.limit && !s.rewound {
		return "I4: more binding answers than places"
	}
	return ""
}

// serials checks I3: after a rewind nobody noticed, Redis may have named one serial to two users; rows still differ.
func (m *machine) serials(s *state) string {
	var names [maxSerial + 1]uint8
	for u := range s.users {
		who := &s.users[u]
		mine := who.row
		if mine == 0 && !s.rewound {
			mine = who.bound
		}
		if mine == 0 {
			continue
		}
		if names[mine.serial()]++; names[mine.serial()] > 1 {
			return "I3: one serial, two users"
		}
	}
	return ""
}

// willBeRow reports whether something is left that turns the user's binding answer into a row with its serial.
func (s *state) willBeRow(who *user) bool {
	named := ofSerial(who.bound.serial())
	here := claims(0)
	if s.open(s.current) {
		here = ofEpoch(s.current)
	}
	return named&(here&who.logged&^who.done|who.live&(here|who.carried)) != 0
}

// atRest says what a state breaks in which nothing is left to do, or nothing.
func (m *machine) atRest(s *state) string {
	for u := range s.users {
		who := &s.users[u]
		if who.bound == 0 || who.row != 0 {
			continue
		}
		if !s.rewound || who.carried != 0 && s.issued < s.limit {
			return "I4 at rest: a binding answer is no row"
		}
	}
	if given, ok := m.given(s); ok && !s.rewound {
		if s.issued+s.keptPlaces()+s.hi-given != s.limit {
			return "I8 at rest: issued + live + (hi - count) is not the limit"
		}
	}
	return ""
}

// given returns the last serial given out, and whether the claim state is sound.
func (m *machine) given(s *state) (uint8, bool) {
	e := s.epoch()
	if e.state != active {
		return 0, false
	}
	if e.sql {
		return s.next - 1, true
	}
	for n := range m.Nodes {
		if d := &s.nodes[n]; d.master && d.meta == s.current && s.sealed(n) {
			return d.count, true
		}
	}
	return 0, false
}
