package model

import (
	"hash/maphash"
	"time"
)

// Result is what a search found.
type Result struct {
	States      int      // different ones, up to the order of users
	Transitions int      // steps tried
	Depth       int      // steps of the longest shortest path
	Rest        int      // states at rest
	SoundRest   int      // those with claim state that grants
	Widest      int      // states kept in full at a time
	Exhausted   bool     // false when MaxStates was reached
	Violation   string   // what is broken, "" when nothing is
	Trace       []string // the shortest way there
	Took        time.Duration
}

// Search visits every state of the configuration, breadth first, with all rules but those named. It stops at the first
// violation, which it reaches by a shortest path.
//
// Only a 64-bit fingerprint of a visited state is kept. Two states share one with a probability below n²/2⁶⁵: 3·10⁻⁶ for
// ten million states, and with a new seed each time, so what one search could miss another finds.
func Search(c Config, without ...Rule) Result {
	x := &search{machine: machine{Config: c, allRules: len(without) == 0 && !c.Plain}, seed: maphash.MakeSeed(), visited: newTable()}
	for _, r := range without {
		x.without[r] = true
	}
	began := time.Now()
	x.run()
	x.States, x.Took = x.visited.size, time.Since(began)
	return x.Result
}

type search struct {
	machine
	Result
	seed    maphash.Seed
	visited *table

	next []state
	from uint64 // fingerprint of the state whose successors are made
}

func (x *search) fingerprint(s *state) uint64 { return maphash.Comparable(x.seed, *s) | 1 }

func (x *search) run() {
	start := x.start()
	x.canonical(&start)
	x.visited.add(x.fingerprint(&start), 0)
	x.visit = x.see
	level := []state{start}
	for len(level) > 0 {
		x.Widest = max(x.Widest, len(level))
		for i := range level {
			if x.expand(&level[i]); x.Violation != "" {
				return
			}
		}
		if x.MaxStates > 0 && x.visited.size >= x.MaxStates {
			return
		}
		level, x.next = x.next, level[:0]
		if len(level) > 0 {
			x.Depth++
		}
	}
	x.Exhausted = true
}

func (x *search) expand(s *state) {
	x.from = x.fingerprint(s)
	x.successors(s)
	if x.moved || x.Violation != "" {
		return
	}
	x.Rest++
	if _, sound := x.given(s); sound {
		x.SoundRest++
	}
	if words := x.atRest(s); words != "" {
		x.Violation, x.Trace = words, x.trace(x.from)
	}
}

// see takes a successor.
func (x *search) see(_ step, t *state) {
	if x.Violation != "" {
		return
	}
	x.Transitions++
	words := x.wrong
	x.wrong = ""
	if words == "" {
		words = x.promises(t)
	}
	here := x.from
	if words != "" {
		bad := *t
		x.canonical(&bad)
		to := x.fingerprint(&bad)
		x.visited.add(to, here)
		x.Violation, x.Trace = words, x.trace(to)
		return
	}
	x.canonical(t)
	if x.visited.add(x.fingerprint(t), here) {
		x.next = append(x.next, *t)
	}
}

// trace finds the steps to a visited state: its ancestors are known by fingerprint, and walking from the start without
// putting users in order keeps their names.
func (x *search) trace(to uint64) []string {
	var path []uint64
	for at := to; at != 0; at = x.visited.parent(at) {
		path = append(path, at)
	}
	walk := &search{machine: machine{Config: x.Config, without: x.without, allRules: x.allRules}, seed: x.seed}
	at := walk.start()
	var steps []string
	for i := len(path) - 2; i >= 0; i-- {
		steps = append(steps, walk.step(&at, path[i]))
	}
	return steps
}

// step moves at to the successor with a fingerprint and names the way.
func (x *search) step(at *state, to uint64) string {
	var name string
	var next state
	x.visit = func(what step, t *state) {
		x.wrong = ""
		if name != "" {
			return
		}
		ordered := *t
		x.canonical(&ordered)
		if x.fingerprint(&ordered) == to {
			name, next = what.String(), *t
		}
	}
	x.successors(at)
	*at = next
	return name
}
