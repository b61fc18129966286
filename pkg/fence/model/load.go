package model

// readSeal begins F6: the replication id first, then keys that nobody reads yet.
func (m *machine) readSeal(s *state, w int) {
	at := s.wardens[w]
	if m.overtaken(s, w) {
		return
	}
	for n := range m.Nodes {
		d := &s.nodes[n]
		if !d.master || d.meta >= at.epoch && (m.rule(OwnerFirst) || s.sealed(n)) {
			continue
		}
		t := *s
		t.wardens[w].post, t.wardens[w].node, t.wardens[w].seal = sealRead, uint8(n), sealOf(n)
		t.nodes[n].loading, t.nodes[n].loadingIsWhole = at.epoch, true
		for u := range t.users {
			t.users[u].loaded[n] = entry{}
		}
		m.progress(of("F6 seal read, keys prepared").as(w).on(n).at(at.epoch, 0), s, &t)
	}
}

// load is one half of F6.
func (m *machine) load(s *state, w int) {
	at := s.wardens[w]
	if m.overtaken(s, w) {
		return
	}
	t := *s
	carriedNow := (at.post == sealRead) == m.rule(CarriedFirst)
	t.wardens[w].post = at.post + 1
	d := &t.nodes[at.node]
	if d.loading != at.epoch {
		d.loading, d.loadingIsWhole = at.epoch, false // the keys went away meanwhile; those loaded from now on are there
	}
	for u := range t.users {
		who := &t.users[u]
		into := &who.loaded[at.node]
		if carriedNow {
			if c, _ := (who.live & who.carried).pop(); c != 0 && into.mark == unknown {
				*into = entry{c.serial(), carried}
			}
		} else if who.row != 0 {
			*into = entry{who.row.serial(), issued}
		}
	}
	here := of("F6 rows loaded")
	if carriedNow {
		here = of("F6 carried events loaded")
	}
	m.progress(here.as(w).on(int(at.node)).at(at.epoch, 0), s, &t)
}

// activate is F7.
func (m *machine) activate(s *state, w int) {
	at := s.wardens[w]
	if !m.rule(OwnerFirst) {
		m.openUnowned(s, w)
		return
	}
	if m.overtaken(s, w) {
		return
	}
	t := *s
	t.version++
	t.epoch().state, t.epoch().activated, t.epoch().owner = active, true, at.seal
	t.wardens[w].post, t.wardens[w].hi, t.wardens[w].vers = activated, t.hiWanted, t.version
	m.progress(of("F7 active").as(w).on(int(at.node)).at(at.epoch, 0), s, &t)
}

// overtaken takes a warden back to watching when the epoch it loads is no longer the one being loaded. It may find out
// later: until then it can only write keys that nobody reads.
func (m *machine) overtaken(s *state, w int) bool {
	again := !m.rule(OwnerFirst) && s.epoch().state == active
	if s.current == s.wardens[w].epoch && (s.epoch().state == loading || again) {
		return false
	}
	t := *s
	t.leave(w)
	m.progress(of("overtaken").as(w), s, &t)
	return true
}

// open is F8, with the document read in F7. What it finds may have changed since.
func (m *machine) open(s *state, w int) {
	at := s.wardens[w]
	t := *s
	t.leave(w)
	if !m.openable(s, int(at.node), at.epoch) || at.seal != sealOf(int(at.node)) {
		m.progress(of("F8 refused").as(w).on(int(at.node)).at(at.epoch, 0), s, &t)
		return
	}
	t.openOn(int(at.node), at.epoch, at.hi, at.vers)
	m.progress(of("F8 open").as(w).on(int(at.node)).at(at.epoch, 0), s, &t)
}

// finishOpening is F8 by whoever finds an active epoch whose keys are loaded and that no document opens yet.
func (m *machine) finishOpening(s *state, w int) {
	if !m.rule(OwnerFirst) && s.epoch().state == active && !s.epoch().sql {
		m.loadAgain(s, w)
	}
	if s.epoch().state != active || s.epoch().sql {
		return
	}
	for n := range m.Nodes {
		if m.openable(s, n, s.current) && s.epoch().owner == sealOf(n) {
			t := *s
			t.openOn(n, s.current, s.hiWanted, s.version)
			m.progress(of("F8 open, begun by another").as(w).on(n).at(s.current, 0), s, &t)
		}
	}
}

func (m *machine) openable(s *state, n int, e uint8) bool {
	d := &s.nodes[n]
	return d.master && d.loading == e && d.meta < e && (d.loadingIsWhole || !m.rule(WholeKeys))
}

// openOn makes the loaded keys the live ones. The old ones are gone with that.
func (s *state) openOn(n int, e, hi, version uint8) {
	d := &s.nodes[n]
	d.meta, d.seal, d.hi, d.version, d.count = e, sealOf(n), hi, version, s.epochs[e].lo-1
	d.loading, d.loadingIsWhole = 0, false
	for u := range s.users {
		s.users[u].keys[n], s.users[u].loaded[n] = s.users[u].loaded[n], entry{}
	}
}

// loadAgain is the wrong way without the rule OwnerFirst: whoever finds a Redis unsealed loads it under the same number.
func (m *machine) loadAgain(s *state, w int) {
	t := *s
	t.wardens[w] = warden{post: closing, epoch: s.current}
	m.try(of("load a Redis that is not sealed").as(w).at(s.current, 0), &t)
}

// openUnowned opens first and tells MySQL afterwards.
func (m *machine) openUnowned(s *state, w int) {
	at := s.wardens[w]
	t := *s
	t.leave(w)
	if d := &t.nodes[at.node]; d.loading == at.epoch && s.current == at.epoch {
		t.openOn(int(at.node), at.epoch, t.hiWanted, t.version)
		t.epoch().state, t.epoch().activated = active, true
	}
	m.try(of("open, then active").as(w).on(int(at.node)).at(at.epoch, 0), &t)
}
