package model

// faults are what Redis may do. Section 1 trusts it in nothing.
func (m *machine) faults(s *state) {
	if m.Nodes > 1 && !s.nodes[1].master {
		m.replicate(s)
		m.failOver(s)
	}
	for n := range m.Nodes {
		if s.nodes[n].master {
			m.restart(s, n)
			m.flush(s, n)
			m.rewind(s, n)
		}
	}
}

// replicate brings the replica, or the snapshot on disk, up to date.
func (m *machine) replicate(s *state) {
	if s.used.Failovers == m.Budget.Failovers && s.used.Restarts == m.Budget.Restarts {
		return
	}
	t := *s
	t.copyData(0, 1)
	if t != *s {
		m.try(of("replicate"), &t)
	}
}

// copyData gives node to what node from holds. The role stays.
func (s *state) copyData(from, to int) {
	master := s.nodes[to].master
	s.nodes[to] = s.nodes[from]
	s.nodes[to].master = master
	for u := range s.users {
		who := &s.users[u]
		who.keys[to], who.loaded[to] = who.keys[from], who.loaded[from]
	}
}

func (s *state) loseData(n int) {
	s.nodes[n] = node{master: s.nodes[n].master}
	for u := range s.users {
		s.users[u].keys[n], s.users[u].loaded[n] = entry{}, entry{}
	}
}

func sealOf(n int) uint8 { return uint8(n) + 1 }

// sealed reports whether a node has the replication id that its document names.
func (s *state) sealed(n int) bool { return s.nodes[n].seal == sealOf(n) }

// newHistory gives a node another replication id: whatever names the old one names nobody.
func (s *state) newHistory(n int) {
	end := func(seal *uint8) {
		if *seal == sealOf(n) {
			*seal = 0
		}
	}
	for i := range s.nodes {
		end(&s.nodes[i].seal)
	}
	for i := range s.epochs {
		end(&s.epochs[i].owner)
	}
	for i := range s.wardens {
		end(&s.wardens[i].seal)
	}
}

// failOver makes the replica a master, as far as it got. The old master goes on: some still reach it.
func (m *machine) failOver(s *state) {
	if s.used.Failovers == m.Budget.Failovers {
		return
	}
	t := *s
	t.used.Failovers++
	t.nodes[1].master = true
	t.newHistory(1)
	m.try(of("failover, the old master goes on"), &t)
}

func (m *machine) restart(s *state, n int) {
	if s.used.Restarts == m.Budget.Restarts {
		return
	}
	t := *s
	t.used.Restarts++
	t.newHistory(n)
	m.try(of("restart with its data").on(n), &t)
	if n == 0 && m.Nodes > 1 && !s.nodes[1].master {
		older := t
		older.copyData(1, 0)
		m.try(of("restart with older data").on(n), &older)
	}
	t.loseData(n)
	m.try(of("restart with no data").on(n), &t)
}

func (m *machine) flush(s *state, n int) {
	if s.used.Flushes == m.Budget.Flushes {
		return
	}
	t := *s
	t.used.Flushes++
	t.loseData(n)
	m.try(of("flush").on(n), &t)
}

// rewind takes the last grant of a node back so that its keys still agree and its replication id stands.
func (m *machine) rewind(s *state, n int) {
	if s.used.Rewinds == m.Budget.Rewinds || s.nodes[n].meta == 0 {
		return
	}
	for u := range m.Users {
		held := s.users[u].keys[n]
		if held.serial != s.nodes[n].count || held.mark != reserved && held.mark != acked {
			continue
		}
		t := *s
		t.used.Rewinds++
		t.rewound = true
		t.users[u].keys[n] = entry{}
		t.nodes[n].count--
		m.try(of("rewind by one grant, unnoticed").by(u).on(n), &t)
	}
}
