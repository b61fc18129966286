package model

import "cmp"

// canonical puts interchangeable parts in order and forgets what nobody can read any more, so that states that differ in
// nothing else are one.
func (m *machine) canonical(s *state) {
	s.dropUnreadable()
	if m.allRules {
		m.dropIneffective(s)
	}
	for u := range s.users {
		if f := &s.users[u].flights; compareFlights(f[0], f[1]) < 0 {
			f[0], f[1] = f[1], f[0]
		}
	}
	order := func(a, b int) {
		if compareUsers(&s.users[a], &s.users[b]) < 0 {
			s.users[a], s.users[b] = s.users[b], s.users[a]
		}
	}
	order(0, 1)
	order(1, 2)
	order(0, 1)
	if comparePushers(&s.pushers[0], &s.pushers[1]) < 0 {
		s.pushers[0], s.pushers[1] = s.pushers[1], s.pushers[0]
	}
}

// dropUnreadable forgets loaded keys of epochs that can no longer be opened.
func (s *state) dropUnreadable() {
	for n := range s.nodes {
		d := &s.nodes[n]
		if d.loading != 0 && (d.loading <= d.meta || s.epochs[d.loading].state == closed) {
			d.loading, d.loadingIsWhole = 0, false
			for u := range s.users {
				s.users[u].loaded[n] = entry{}
			}
		}
	}
	for u := range s.users {
		who := &s.users[u]
		who.carried &= who.live
		for w := range who.due {
			who.due[w] &^= who.done
		}
	}
}

// dropIneffective forgets what changes nothing while all rules are in force: issue() finds the user served, or the claim
// of a closed epoch stale, and writes nothing; what waits for an ack of such a claim ends in a look at the row.
func (m *machine) dropIneffective(s *state) {
	for u := range s.users {
		who := &s.users[u]
		if who.row != 0 {
			who.forgetRecords(^claims(0))
			who.filed, who.live, who.carried = 0, 0, 0
		}
		for e := uint8(1); e < s.current; e++ {
			if s.used.Parks == m.Budget.Parks {
				who.forgetRecords(ofEpoch(e))
			}
		}
		for f := range who.flights {
			at := &who.flights[f]
			waits := at.stage == claimed || at.stage == published
			if waits && (who.row != 0 || at.epoch < s.current) {
				at.stage = durable
			}
		}
	}
	for n := range s.nodes {
		s.dropOldKeys(m, n)
	}
}

func (u *user) forgetRecords(c claims) {
	u.produced &^= c
	u.logged &^= c
	u.done &^= c
	for w := range u.due {
		u.due[w] &^= c
	}
}

// dropOldKeys forgets the live keys of a closed epoch, and those of a replica that can never come to power. A grant from
// such keys could as well have been made before the epoch was closed.
func (s *state) dropOldKeys(m *machine, n int) {
	d := &s.nodes[n]
	idle := !d.master && s.used.Failovers == m.Budget.Failovers && s.used.Restarts == m.Budget.Restarts
	if idle || d.meta < s.current {
		d.meta, d.seal, d.hi, d.version, d.count = 0, 0, 0, 0, 0
		for u := range s.users {
			s.users[u].keys[n] = entry{}
		}
	}
	if idle {
		d.loading, d.loadingIsWhole = 0, false
	}
	for u := range s.users {
		who := &s.users[u]
		if idle {
			who.loaded[n] = entry{}
		}
		if who.row != 0 && who.keys[n].mark == reserved {
			who.keys[n].mark = acked
		}
	}
}

// compareUsers orders users. Two that differ and compare equal cost a state too many, nothing else.
func compareUsers(a, b *user) int {
	if c := cmp.Compare(a.logged, b.logged); c != 0 {
		return c
	}
	if c := cmp.Compare(a.produced, b.produced); c != 0 {
		return c
	}
	for n := range a.keys {
		if c := compareEntries(a.keys[n], b.keys[n]); c != 0 {
			return c
		}
		if c := compareEntries(a.loaded[n], b.loaded[n]); c != 0 {
			return c
		}
	}
	for f := range a.flights {
		if c := compareFlights(a.flights[f], b.flights[f]); c != 0 {
			return c
		}
	}
	return cmp.Or(
		cmp.Compare(a.row, b.row), cmp.Compare(a.bound, b.bound), cmp.Compare(a.done, b.done),
		cmp.Compare(a.live, b.live), cmp.Compare(a.carried, b.carried), cmp.Compare(a.filed, b.filed),
		cmp.Compare(a.due[0], b.due[0]), cmp.Compare(a.due[1], b.due[1]),
	)
}

func compareEntries(a, b entry) int {
	return cmp.Compare(uint(a.serial)<<8|uint(a.mark), uint(b.serial)<<8|uint(b.mark))
}

func compareFlights(a, b flight) int {
	return cmp.Compare(uint(a.stage)<<16|uint(a.epoch)<<8|uint(a.serial), uint(b.stage)<<16|uint(b.epoch)<<8|uint(b.serial))
}

func comparePushers(a, b *pusher) int {
	return cmp.Or(
		cmp.Compare(a.stage, b.stage), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.vers, b.vers), cmp.Compare(a.hi, b.hi),
		cmp.Compare(a.lowering, b.lowering),
	)
}
