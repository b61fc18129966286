package model

// fence are the steps F1 to F8 of section 6. F2 is left out: it only takes grants away and publishes what sweeps publish.
func (m *machine) fence(s *state) {
	m.begin(s)
	for w := range m.Wardens {
		at := &s.wardens[w]
		switch at.post {
		case watching:
			m.learnEnd(s, w)
			m.takeOver(s, w)
			m.finishOpening(s, w)
		case endLearned:
			m.awaitDrain(s, w)
		case drained:
			m.closeEpoch(s, w)
		case closing:
			m.readSeal(s, w)
		case sealRead, firstHalf:
			m.load(s, w)
		case allLoaded:
			m.activate(s, w)
		case activated:
			m.open(s, w)
		}
		if at.post != watching && s.used.Crashes < m.Budget.Crashes {
			t := *s
			t.used.Crashes++
			t.leave(w)
			m.try(of("warden dies").as(w), &t)
		}
	}
}

// leave takes a warden back to watching. What it knew is lost.
func (s *state) leave(w int) {
	s.wardens[w] = warden{}
	for u := range s.users {
		s.users[u].due[w] = 0
	}
}

// begin is F1.
func (m *machine) begin(s *state) {
	if s.epoch().state != active || s.current == m.Epochs {
		return
	}
	t := *s
	t.epoch().state = fencing
	m.try(of("F1 fencing").at(s.current, 0), &t)
}

// learnEnd is F3: all that was appended so far lies before the barrier.
func (m *machine) learnEnd(s *state, w int) {
	early := !m.rule(FenceBeforeEnd) && s.epoch().state == active && s.current < m.Epochs
	if s.epoch().state != fencing && !early {
		return
	}
	t := *s
	t.wardens[w] = warden{post: endLearned, epoch: s.current}
	for u := range t.users {
		t.users[u].due[w] = t.users[u].logged &^ t.users[u].done
	}
	m.progress(of("F3 barrier, the end is known").as(w).at(s.current, 0), s, &t)
}

// awaitDrain is F4.
func (m *machine) awaitDrain(s *state, w int) {
	for u := range s.users {
		if s.users[u].due[w] != 0 && m.rule(Drain) {
			return
		}
	}
	t := *s
	t.leave(w)
	t.wardens[w] = warden{post: drained, epoch: s.wardens[w].epoch}
	m.progress(of("F4 drained").as(w), s, &t)
}

// closeEpoch is F5 after a drain, into either mode.
func (m *machine) closeEpoch(s *state, w int) {
	state, ours := s.epoch().state, s.current == s.wardens[w].epoch
	stands := ours && state == fencing
	if !m.rule(NamedStep) {
		stands = s.current < m.Epochs && (state == fencing || state == active)
	}
	switch {
	case stands:
		m.nextEpoch(s, w, "F5 close, next epoch loading", false)
		if m.SQL {
			m.nextEpoch(s, w, "F5 close, next epoch in mode sql", true)
		}
	case ours && state == active: // only without the rule FenceBeforeEnd: F1 is still to come
	default:
		t := *s
		t.leave(w)
		m.progress(of("F5 refused: another warden was first").as(w), s, &t)
	}
}

// takeOver is F5 again, from an epoch whose loading was given up: under a new number.
func (m *machine) takeOver(s *state, w int) {
	if s.epoch().state != loading {
		return
	}
	if !m.rule(OwnerFirst) {
		m.loadAgain(s, w)
	}
	if s.current == m.Epochs {
		return
	}
	m.nextEpoch(s, w, "F5 take over, next epoch loading", false)
	if m.SQL {
		m.nextEpoch(s, w, "F5 take over, next epoch in mode sql", true)
	}
}

// nextEpoch closes the current epoch and makes the next, in one transaction under the row lock.
func (m *machine) nextEpoch(s *state, w int, words string, sql bool) {
	t := *s
	m.carry(&t)
	kept := t.keptPlaces()
	m.settleAtClose(&t, kept)
	old := t.epoch()
	if old.sql && old.state != loading {
		old.hiMax = t.next - 1
	}
	old.state, old.owner = closed, 0
	t.current++
	t.version++

	top := t.highest(t.current)
	if !m.rule(FreshRange) {
		top = t.highestRow()
	}
	if !m.rule(CarriedCounted) {
		kept = 0
	}
	lo := top + kept + 1
	free := uint8(0)
	if taken := t.issued + kept; taken < t.limit {
		free = t.limit - taken
	}
	t.hi = lo + free - 1
	t.hiWanted, t.next = t.hi, lo
	if t.hi > maxSerial {
		panic("model: the configuration needs more serials than a state can hold")
	}
	t.epochs[t.current] = epoch{state: loading, lo: lo, hiMax: t.hi}
	t.leave(w)
	t.wardens[w] = warden{post: closing, epoch: t.current}
	if sql {
		t.leave(w)
		t.epochs[t.current] = epoch{state: active, activated: true, sql: true, lo: lo, hiMax: t.hi}
	}
	t.seen, t.seenEpoch = 0, 0
	m.progress(of(words).as(w).at(t.current, 0), s, &t)
}

// carry marks the failed events whose places are kept. An event of another closed epoch that was never carried was kept
// after that epoch's end, from a record behind the barrier: nobody was promised anything.
func (m *machine) carry(s *state) {
	for u := range s.users {
		who := &s.users[u]
		if m.rule(CarryPromises) {
			who.carried |= who.live & ofEpoch(s.current)
		} else {
			who.carried |= who.live
		}
	}
}

// settleAtClose ends an open lowering: done if what is taken and kept leaves room for it.
func (m *machine) settleAtClose(s *state, kept uint8) {
	if s.lowering == 0 || !m.rule(SettleAtClose) {
		return
	}
	if s.limit-s.lowering >= s.issued+kept {
		s.limit -= s.lowering
	}
	s.lowering, s.wish = 0, 0
}

func (s *state) highestRow() uint8 {
	top := uint8(0)
	for u := range s.users {
		if row := s.users[u].row; row != 0 {
			top = max(top, row.serial())
		}
	}
	return top
}
