package simulated

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// errSilent is what a caller sees of a call that nobody answered.
var errSilent = errors.New("no answer")

// Network decides, from a seed alone, how long every call takes and whether its answer arrives. It draws from the names of
// the caller, the store and the call, never from a shared sequence, so that one seed is one schedule whatever order the
// goroutines of one instant run in. No two calls return at the same instant: what then came first would be up to the
// scheduler.
type Network struct {
	seed uint64
	odds Odds

	mu     sync.Mutex
	digest uint64
}

// Odds are the chances of what may go wrong with one call, each in 0 to 1.
type Odds struct {
	Slow float64 // it takes up to 2.4 s instead of a few milliseconds
	Mute float64 // it is carried out and its answer is lost
}

// NewNetwork returns the network of one seed.
func NewNetwork(seed uint64, odds Odds) *Network { return &Network{seed: seed, odds: odds} }

// Digest is a number for all calls so far and their instants: the same for two runs of one schedule.
func (n *Network) Digest() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.digest
}

func (n *Network) note(call uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.digest += mix(call ^ mix(uint64(time.Now().UnixNano()))) // a sum: the calls of one instant have no order
}

// Line is one caller's way to one store. A cut line stays cut: its caller has crashed.
type Line struct {
	network *Network
	seed    uint64

	mu    sync.Mutex
	calls map[string]uint64 // how often each was made
	cut   bool
	down  int
}

// Line returns a new line between a caller and a store; the name must be unique in the network.
func (n *Network) Line(name string) *Line {
	return &Line{network: n, seed: mix(n.seed ^ hash(name)), calls: map[string]uint64{}}
}

// Cut ends the line for good: what is on its way may still be carried out, no answer ever comes back.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
}

// Down makes the line swallow everything until the same is undone: what is on its way is answered all the same.
func (l *Line) Down(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if down {
		l.down++
		return
	}
	l.down--
}

func (l *Line) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

func (l *Line) swallows() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut || l.down > 0
}

// trip is one call on its line: how long each way takes, and whether the answer arrives.
type trip struct {
	line        *Line
	what        string
	name        uint64
	there, back time.Duration
	late        time.Duration // how long after its time is up the caller gives up
	mute        bool
}

// trip draws the next call of that name. Without a line there is nothing to draw.
func (l *Line) trip(what string) trip {
	if l == nil {
		return trip{}
	}
	l.mu.Lock()
	l.calls[what]++
	count := l.calls[what]
	l.mu.Unlock()
	name := mix(l.seed ^ hash(what))
	random, odds := rolls{state: mix(name ^ mix(count))}, l.network.odds
	t := trip{
		line: l, what: what, name: name, there: random.between(quick, usual), back: random.between(quick, usual),
		late: random.between(time.Nanosecond, quick),
	}
	if random.chance(odds.Slow) {
		t.there = random.between(usual, slowest)
	}
	if random.chance(odds.Slow) {
		t.back = random.between(usual, slowest)
	}
	t.mute = random.chance(odds.Mute)
	return t
}

const (
	quick   = 100 * time.Microsecond
	usual   = 5 * time.Millisecond
	slowest = 2400 * time.Millisecond
	// patience ends calls whose context has no end of its own, as the time-outs of every real client do. No answer that
	// comes at all takes that long.
	patience = 5 * time.Second
)

// call carries do out after a while, and returns its answer after another. When ctx ends first, the answer is lost or the
// line is cut, it returns coupon.CodeUnavailable, and do may have been carried out, may never be, or may be later: as with a
// real store, nothing is known. Without a line it is carried out at once.
func call[T any](ctx context.Context, l *Line, what string, do func() (T, error)) (T, error) {
	return carry(ctx, l.trip(what), do)
}

func carry[T any](ctx context.Context, t trip, do func() (T, error)) (T, error) {
	if t.line == nil {
		return do()
	}
	if t.line.swallows() || ctx.Err() != nil {
		return silence[T](ctx, t, patience)
	}
	t.line.network.note(t.name)
	arrives := time.Now().Add(t.there)
	if !passes(ctx, t.there) {
		go func() {
			pass(time.Until(arrives))
			_, _ = do() // nobody waits for it
		}()
		return silence[T](ctx, t, 0)
	}
	value, err := do()
	if !passes(ctx, t.back) {
		return silence[T](ctx, t, 0)
	}
	if t.mute || t.line.isCut() {
		return silence[T](ctx, t, patience-t.there-t.back)
	}
	return value, err
}

// silence waits for an answer that does not come.
func silence[T any](ctx context.Context, t trip, longest time.Duration) (T, error) {
	_ = longest > 0 && passes(ctx, longest)
	pass(t.late)
	var nothing T
	return nothing, coupon.Unavailable(t.what, errSilent)
}

// passes returns true after d, or false when ctx ends first.
func passes(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}

// rolls is a small generator of its own: every draw has one, so draws do not depend on one another.
type rolls struct{ state uint64 }

func (r *rolls) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return mix(r.state)
}

func (r *rolls) chance(p float64) bool { return float64(r.next()>>11)/(1<<53) < p }

func (r *rolls) between(from, to time.Duration) time.Duration {
	return from + time.Duration(r.next()%uint64(to-from))
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hash(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash takes everything
	return h.Sum64()
}
