package model

// stock are the stock moves of section 8.
func (m *machine) stock(s *state) {
	m.raise(s)
	m.cancel(s)
	m.beginLowering(s)
	m.raiseWanted(s)
	for p := range m.Pushers {
		m.push(s, p)
	}
}

// raiseHi makes more serials expected. Redis learns of them later; in mode sql nobody needs to be told.
func (m *machine) raiseHi(s *state, by uint8) {
	s.hi += by
	if s.epoch().sql {
		s.hiWanted += by
		return
	}
	if m.rule(RangeFollowsHi) {
		s.epoch().hiMax = max(s.epoch().hiMax, s.hi)
	}
}

func (m *machine) raise(s *state) {
	if s.used.Raises == m.Budget.Raises {
		return
	}
	t := *s
	t.used.Raises++
	t.limit++
	m.raiseHi(&t, 1)
	m.try(of("raise the limit"), &t)
}

// cancel is a cancelled coupon whose place returns to stock.
func (m *machine) cancel(s *state) {
	if s.used.Cancels == m.Budget.Cancels {
		return
	}
	for u := range m.Users {
		if s.users[u].row == 0 || s.users[u].returned {
			continue
		}
		t := *s
		t.used.Cancels++
		t.users[u].returned = true
		t.issued--
		m.raiseHi(&t, 1)
		m.try(of("cancel with return").by(u), &t)
	}
}

// raiseWanted lets Redis give out what a server has seen of hi.
func (m *machine) raiseWanted(s *state) {
	if s.epoch().state != active || s.epoch().sql {
		return
	}
	if s.hiWanted < s.hi && (s.seen != s.hi || s.seenEpoch != s.current) {
		t := *s
		t.seen, t.seenEpoch = s.hi, s.current
		m.progress(of("a server has seen hi for 2 s"), s, &t)
	}
	target := s.seen
	if m.rule(WantedWithinHi) {
		target = min(s.seen, s.hi)
	}
	if s.seenEpoch != s.current || target <= s.hiWanted || s.lowering > 0 && m.rule(NoRaiseInLowering) {
		return
	}
	t := *s
	t.hiWanted = target
	t.version++
	m.progress(of("raise hi_wanted"), s, &t)
}

// beginLowering lowers the limit by one where nobody can have been given the place, and else records the wish to.
func (m *machine) beginLowering(s *state) {
	e := s.epoch()
	if s.used.Lowers == m.Budget.Lowers || s.lowering > 0 || s.limit == 0 || s.hi < e.lo {
		return
	}
	if e.state != active && e.state != loading || e.sql && s.next > s.hi {
		return
	}
	t := *s
	t.used.Lowers++
	t.version++
	if m.rule(LowerInTwoPhases) && e.state == active && !e.sql && s.hi-1 < s.hiWanted {
		t.hiWanted = s.hi - 1
		t.lowering, t.wish = 1, t.version
		m.try(of("lowering wished"), &t)
		return
	}
	t.lower(1)
	m.try(of("lower the limit at once"), &t)
}

func (s *state) lower(by uint8) {
	s.limit -= by
	s.hi -= by
	s.hiWanted = min(s.hiWanted, s.hi)
}

// push are the steps of one server that brings the document to Redis, and settles an open lowering with the answer.
func (m *machine) push(s *state, p int) {
	at := s.pushers[p]
	switch at.stage {
	case resting:
		m.sendPush(s, p)
		return
	case sent:
		m.applyPush(s, p)
	case replied:
		m.settleLowering(s, p)
	}
	if s.used.Crashes < m.Budget.Crashes {
		t := *s
		t.used.Crashes++
		t.pushers[p] = pusher{}
		m.try(of("pushing server dies").as(p), &t)
	}
}

func (m *machine) sendPush(s *state, p int) {
	if s.epoch().state != active || s.epoch().sql {
		return
	}
	behind := s.lowering > 0
	for n := range m.Nodes {
		d := &s.nodes[n]
		behind = behind || d.master && d.meta == s.current && d.version < s.version
	}
	if !behind {
		return
	}
	t := *s
	t.pushers[p] = pusher{stage: sent, epoch: s.current, hi: s.hiWanted, vers: s.version, lowering: s.lowering}
	m.progress(of("push sent").as(p), s, &t)
}

// applyPush is the script. A smaller hi is taken only if no serial above it is given out.
func (m *machine) applyPush(s *state, p int) {
	at := s.pushers[p]
	refused := true
	for n := range m.Nodes {
		d := &s.nodes[n]
		if !d.master || d.meta != at.epoch || s.epochs[at.epoch].owner != sealOf(n) {
			continue
		}
		refused = false
		t := *s
		d = &t.nodes[n]
		if at.vers > d.version || !m.rule(VersionedPush) {
			d.version = at.vers
			if at.hi > d.hi || at.hi >= d.count {
				d.hi = at.hi
			}
		}
		t.pushers[p] = pusher{}
		if at.lowering > 0 {
			at.stage, at.taken = replied, d.hi <= at.hi
			t.pushers[p] = at
		}
		m.progress(of("push reaches Redis").as(p).on(n), s, &t)
	}
	if refused {
		t := *s
		t.pushers[p] = pusher{}
		m.progress(of("push refused").as(p), s, &t)
	}
}

func (m *machine) settleLowering(s *state, p int) {
	at := s.pushers[p]
	t := *s
	t.pushers[p] = pusher{}
	stands := s.lowering == at.lowering && s.current == at.epoch
	if m.rule(LoweringNamed) {
		stands = stands && s.wish <= at.vers
	}
	here := of("lowering settled before")
	switch {
	case !stands:
	case at.taken:
		here.what = "lowering taken"
		t.lower(at.lowering)
		t.lowering, t.wish = 0, 0
		t.version++
	default:
		here.what = "lowering refused"
		t.hiWanted += at.lowering
		t.lowering, t.wish = 0, 0
		t.version++
	}
	m.progress(here.as(p), s, &t)
}
