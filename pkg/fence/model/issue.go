package model

// outcome is what issue() made of a delivery.
type outcome uint8

const (
	rowMade outcome = iota
	servedAlready
	stale
	dead
	parked
)

// issue is the only way a row is born; retry says that the delivery is a failed event.
func (m *machine) issue(s *state, u int, c claims, retry bool) outcome {
	who := &s.users[u]
	wasCarried := retry && who.carried&c != 0
	late := !s.open(c.epoch())
	if who.row != 0 {
		if late && !retry && c.serial() != who.row.serial() && !m.rule(VoidKeepsPlace) {
			m.raiseHi(s, 1)
		}
		return servedAlready
	}
	e := &s.epochs[c.epoch()]
	if !e.activated || c.serial() < e.lo || c.serial() > e.hiMax {
		return dead
	}
	if late && !wasCarried && m.rule(EpochCheck) {
		return stale
	}
	if s.ownerOf(c.serial()) >= 0 {
		spare := uint8(0)
		if wasCarried && m.rule(SpareSerial) {
			spare = s.spareSerial()
		}
		if spare == 0 {
			m.keep(who, c)
			return parked
		}
		c = claimOf(c.epoch(), spare)
	}
	if !m.insert(s, u, c) {
		m.keep(who, c)
		return parked
	}
	return rowMade
}

// insert makes a row, unless a wall stands: the limit under the row lock, and the two unique keys.
func (m *machine) insert(s *state, u int, c claims) bool {
	if s.issued >= s.limit || s.users[u].row != 0 || s.ownerOf(c.serial()) >= 0 {
		return false
	}
	s.issued++
	s.users[u].row = c
	return true
}

// keep makes a failed event, unless one was ever kept under that key.
func (m *machine) keep(who *user, c claims) {
	if who.filed&c == 0 {
		who.filed |= c
		who.live |= c
	}
}

// ownerOf returns whose row has a serial, or -1.
func (s *state) ownerOf(serial uint8) int {
	for u := range s.users {
		if row := s.users[u].row; row != 0 && row.serial() == serial {
			return u
		}
	}
	return -1
}

// highest returns the highest serial that an activated epoch before e could have given.
func (s *state) highest(before uint8) uint8 {
	top := uint8(0)
	for e := uint8(1); e < before; e++ {
		if s.epochs[e].activated {
			top = max(top, s.epochs[e].hiMax)
		}
	}
	return top
}

// spareSerial returns the smallest free serial of those that the fence left below lo, or 0.
func (s *state) spareSerial() uint8 {
	if !s.open(s.current) {
		return 0
	}
	for serial := s.highest(s.current) + 1; serial < s.epoch().lo; serial++ {
		if s.ownerOf(serial) < 0 {
			return serial
		}
	}
	return 0
}

// log are the steps of the log and of the consumer.
func (m *machine) log(s *state) {
	for u := range m.Users {
		who := &s.users[u]
		for c, rest := (who.produced &^ who.logged).pop(); c != 0; c, rest = rest.pop() {
			m.appendRecord(s, u, c)
		}
		for c, rest := who.logged.pop(); c != 0; c, rest = rest.pop() {
			if who.done&c == 0 {
				m.consume(s, u, c)
			}
			m.redeliver(s, u, c)
			m.park(s, u, c)
		}
	}
}

// appendRecord is a publish that arrives. It will, as long as somebody publishes it again.
func (m *machine) appendRecord(s *state, u int, c claims) {
	t := *s
	t.users[u].logged |= c
	here := of("append").by(u).about(c)
	for n := range m.Nodes {
		if held := s.users[u].keys[n]; s.nodes[n].master && held.mark == reserved && claimOf(s.nodes[n].meta, held.serial) == c {
			m.progress(here, s, &t)
			return
		}
	}
	m.try(here, &t)
}

// consume is issue() and then the offset.
func (m *machine) consume(s *state, u int, c claims) {
	t := *s
	m.issue(&t, u, c, false)
	t.users[u].done |= c
	m.progress(of("consume").by(u).about(c), s, &t)
}

// redeliver is issue() by a consumer that dies before it commits the offset, has lost the partition or finds a duplicate.
func (m *machine) redeliver(s *state, u int, c claims) {
	t := *s
	m.issue(&t, u, c, false)
	if t != *s {
		m.try(of("redeliver").by(u).about(c), &t)
	}
}

// park is a consumer that gives up on a stuck campaign: it keeps the record as a failed event without looking at the
// campaign's row, and commits the offset. It may have lost the partition long ago.
func (m *machine) park(s *state, u int, c claims) {
	if s.used.Parks == m.Budget.Parks || s.users[u].filed&c != 0 {
		return
	}
	t := *s
	t.used.Parks++
	m.keep(&t.users[u], c)
	t.users[u].done |= c
	m.try(of("keep as a failed event (transient_exhausted)").by(u).about(c), &t)
}

// failures are the steps of batch and of operators on failed events.
func (m *machine) failures(s *state) {
	for u := range m.Users {
		for c, rest := s.users[u].live.pop(); c != 0; c, rest = rest.pop() {
			t := *s
			if m.issue(&t, u, c, true) != parked {
				t.users[u].live &^= c
			}
			m.progress(of("retry the failed event").by(u).about(c), s, &t)
			m.discard(s, u, c)
		}
	}
}

// discard ends a failed event at an operator's word. The promise, if it was one, is broken on purpose.
func (m *machine) discard(s *state, u int, c claims) {
	if s.used.Discards == m.Budget.Discards || m.rule(DiscardCarriedOnly) && s.users[u].carried&c == 0 {
		return
	}
	t := *s
	t.used.Discards++
	who := &t.users[u]
	who.live &^= c
	if who.row == 0 && !t.keepsPlace(who) || !m.rule(DiscardReturnsOnce) {
		m.raiseHi(&t, 1)
	}
	if who.row == 0 {
		who.bound = 0
	}
	m.try(of("discard the failed event").by(u).about(c), &t)
}
