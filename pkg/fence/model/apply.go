package model

// applies are the steps of section 4 that an api-server takes for a user, up to the binding answer.
func (m *machine) applies(s *state) {
	mayStart := s.inFlight() < m.InFlight
	for u := range m.Users {
		for n := range m.Nodes {
			if mayStart {
				m.claim(s, u, n)
			}
			m.sweep(s, u, n)
			m.forget(s, u, n)
		}
		if mayStart {
			m.sendSQL(s, u)
		}
		for f, flight := range s.users[u].flights {
			if flight.stage != idle {
				m.advance(s, u, f)
			}
		}
	}
}

// claim is the script: a holder gets what is stored, anyone else a new serial if this Redis may grant one.
func (m *machine) claim(s *state, u, n int) {
	d := &s.nodes[n]
	if !d.master || d.meta == 0 {
		return
	}
	if held := s.users[u].keys[n]; held.mark != unknown {
		m.repeat(s, u, n, held)
		return
	}
	if d.count >= d.hi || m.rule(Seal) && !s.sealed(n) {
		return
	}
	t := *s
	t.nodes[n].count++
	serial := t.nodes[n].count
	t.users[u].keys[n] = entry{serial, reserved}
	t.users[u].take(flight{claimed, d.meta, serial})
	m.try(of("claim, granted").by(u).on(n).at(d.meta, serial), &t)
}

func (m *machine) repeat(s *state, u, n int, held entry) {
	epoch := s.nodes[n].meta
	t := *s
	switch {
	case held.mark == carried && m.rule(CarriedFromMySQL):
		m.answerRow(&t, u)
		m.try(of("claim, carried: read the row").by(u).on(n), &t)
		return
	case held.mark == reserved && m.rule(ReplayPublishes):
		t.users[u].take(flight{claimed, epoch, held.serial})
	default:
		t.users[u].take(flight{durable, epoch, held.serial})
	}
	m.try(of("claim, held").by(u).on(n).at(epoch, held.serial), &t)
}

// advance takes an apply one step on.
func (m *machine) advance(s *state, u, f int) {
	who := &s.users[u]
	at := who.flights[f]
	c := claimOf(max(at.epoch, 1), at.serial)
	move := func(what string, to stage) {
		t := *s
		t.users[u].flights[f].stage = to
		m.progress(of(what).by(u).about(c), s, &t)
	}
	switch at.stage {
	case claimed:
		t := *s
		t.users[u].flights[f].stage = published
		t.users[u].produced |= c
		m.progress(of("publish").by(u).about(c), s, &t)
	case published:
		switch {
		case !m.rule(ConfirmAfterAck) && s.confirms(at.epoch):
			move("confirm read before the ack", confirmed)
		case m.rule(ConfirmAfterAck) && who.logged&c != 0:
			move("ack", durable)
		}
	case durable:
		m.confirm(s, u, f)
	case confirmed:
		if who.logged&c != 0 {
			t := *s
			t.users[u].flights[f] = flight{}
			m.bind(&t, u, c)
			m.progress(of("ack, answer accepted").by(u).about(c), s, &t)
		}
	case sqlSent:
		m.executeSQL(s, u, f)
	}
	if m.Direct && (at.stage == claimed || at.stage == published) {
		m.direct(s, u, f, c)
	}
	t := *s
	t.users[u].flights[f] = flight{}
	m.try(of("api-server gives up or dies").by(u), &t)
}

// confirm is the read after the ack: still active at our epoch makes the grant binding, else the row does if there is one.
func (m *machine) confirm(s *state, u, f int) {
	t := *s
	at := t.users[u].flights[f]
	t.users[u].flights[f] = flight{}
	c := claimOf(at.epoch, at.serial)
	if !m.rule(Confirm) || s.confirms(at.epoch) {
		m.bind(&t, u, c)
		m.progress(of("confirm read, answer accepted").by(u).about(c), s, &t)
		return
	}
	m.answerRow(&t, u)
	m.progress(of("confirm read refuses, read the row").by(u).about(c), s, &t)
}

// direct is the api-server's own issue(), while the log is away.
func (m *machine) direct(s *state, u, f int, c claims) {
	t := *s
	t.users[u].flights[f] = flight{}
	m.issue(&t, u, c, false)
	m.answerRow(&t, u)
	m.try(of("direct issue").by(u).about(c), &t)
}

// sweep publishes a reserved claim again.
func (m *machine) sweep(s *state, u, n int) {
	d, held := &s.nodes[n], s.users[u].keys[n]
	if !d.master || held.mark != reserved {
		return
	}
	c := claimOf(d.meta, held.serial)
	if (s.users[u].produced|s.users[u].logged)&c != 0 {
		return
	}
	t := *s
	t.users[u].produced |= c
	m.progress(of("sweep").by(u).on(n).about(c), s, &t)
}

// forget marks a claim acked and takes it off pending.
func (m *machine) forget(s *state, u, n int) {
	d, who := &s.nodes[n], &s.users[u]
	held := who.keys[n]
	if !d.master || held.mark != reserved {
		return
	}
	c := claimOf(d.meta, held.serial)
	if m.rule(MarkAfterAck) && (who.logged|who.row)&c == 0 {
		return
	}
	t := *s
	t.users[u].keys[n].mark = acked
	m.try(of("forget: mark a").by(u).on(n).about(c), &t)
}

// answerRow answers issued with the user's row, or nothing binding without one.
func (m *machine) answerRow(s *state, u int) {
	if row := s.users[u].row; row != 0 {
		m.bind(s, u, row)
	}
}

// bind gives a user a binding answer.
func (m *machine) bind(s *state, u int, c claims) {
	who := &s.users[u]
	if who.bound != 0 && who.bound.serial() != c.serial() && !s.rewound {
		m.wrong = "two binding answers to one user name different serials"
	}
	if who.row != 0 {
		c = who.row // what holds it up is the row from now on
		if who.row.serial() != c.serial() && !s.rewound {
			m.wrong = "a binding answer names another serial than the row"
		}
	}
	who.bound = c
}

// sendSQL sends a transaction of mode sql with the epoch its sender knows.
func (m *machine) sendSQL(s *state, u int) {
	if !s.epoch().sql || s.epoch().state != active {
		return
	}
	t := *s
	t.users[u].take(flight{sqlSent, s.current, 0})
	m.try(of("sql apply sent").by(u).at(s.current, 0), &t)
}

// executeSQL is that transaction under the row lock: the row, else the failed event, else the next serial.
func (m *machine) executeSQL(s *state, u, f int) {
	t := *s
	who := &t.users[u]
	sender := who.flights[f].epoch
	who.flights[f] = flight{}
	here := of("sql apply").by(u).at(sender, 0)
	free := t.next <= t.hiWanted
	if !m.rule(SQLWanted) {
		free = t.issued < t.limit
	}
	switch {
	case m.rule(SQLEpoch) && (sender != t.current || !t.epoch().sql || t.epoch().state != active):
		here.what = "sql apply, epoch is over"
	case who.row != 0:
		m.answerRow(&t, u)
	case who.live != 0:
		here.what = "sql apply, pending as a failed event"
	case free && t.next <= maxSerial:
		c := claimOf(t.current, t.next)
		t.next++
		if m.insert(&t, u, c) {
			m.bind(&t, u, c)
		}
		here = here.about(c)
	}
	m.progress(here, s, &t)
}
