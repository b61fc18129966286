// Package witness keeps, of all that a crowd was told, what a verdict needs, and no more: every promise, what contradicts
// one, and a bit for each user who applied and for each who was told that all are gone.
package witness

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/told"
)

const (
	lanes = 64 // locks

	// mostOdd is how many answers a lane keeps that contradict something. Each is a fault: a verdict does not need them all.
	mostOdd = 1_000
)

// Witness sees the answers of one plan. It may be used by many goroutines.
type Witness struct {
	plan      arrival.Plan
	users     arrival.Users
	campaigns []string
	asked     bits
	soldOut   bits
	unsettled atomic.Bool // somebody got no answer, or a place that was not durable: it may still become a row
	lanes     [lanes]lane
}

type lane struct {
	mu       sync.Mutex
	promises map[uint64]Promise
	odd      []Odd
}

// Promise is the first one a user was told.
type Promise struct {
	Serial         int64
	Sent, Received int64 // in ns since 1970
	First          bool  // 202: this very apply took the place
	Issued         bool
}

// Odd is an answer that a verdict has to look at as it is.
type Odd struct {
	User   uint64
	Answer drop.Answer
}

// New returns a Witness of a plan; campaigns are the ids of those that the plan numbers.
func New(plan arrival.Plan, campaigns []string) *Witness {
	w := &Witness{
		plan: plan, users: arrival.NewUsers(plan.Seed), campaigns: campaigns,
		asked: newBits(plan.Users), soldOut: newBits(plan.Users),
	}
	for i := range w.lanes {
		w.lanes[i].promises = map[uint64]Promise{}
	}
	return w
}

// Add takes note of what a user was told.
func (w *Witness) Add(user uint64, answer told.Answer, sent, received time.Time) {
	w.asked.set(user)
	if answer.Kind == told.Pending || answer.Kind == told.Unknown {
		w.unsettled.Store(true)
	}
	l := &w.lanes[user%lanes]
	l.mu.Lock()
	defer l.mu.Unlock()
	held, holds := l.promises[user]
	switch {
	case answer.Fault != "":
	case answer.Kind.Promise() && !holds:
		l.promises[user] = Promise{
			Serial: answer.Serial, Sent: sent.UnixNano(), Received: received.UnixNano(),
			First: answer.Kind != told.Replayed, Issued: string(answer.Status) == string(coupon.StatusIssued),
		}
		return
	case !holds:
		if answer.Kind == told.SoldOut {
			w.soldOut.set(user)
		}
		return
	case held.allows(answer):
		return
	case held.overtook(answer):
		held.First, held.Sent, held.Received = true, min(held.Sent, sent.UnixNano()), min(held.Received, received.UnixNano())
		l.promises[user] = held
		return
	}
	if len(l.odd) < mostOdd {
		l.odd = append(l.odd, Odd{user, w.inFull(user, answer, sent, received)})
	}
}

// allows reports whether its holder may be told this as well, any number of times: the same promise again, that a repeat is
// not durable, to come later, or nothing.
func (p Promise) allows(a told.Answer) bool {
	switch {
	case a.Kind.Promise():
		return a.Kind == told.Replayed && a.Serial == p.Serial
	case a.HTTP == 0, a.HTTP == http.StatusOK, a.HTTP == http.StatusTooManyRequests:
		return true
	}
	return a.HTTP >= http.StatusInternalServerError
}

// overtook reports whether a is the first grant of a claim whose repeat was answered before it.
func (p Promise) overtook(a told.Answer) bool {
	return !p.First && a.Kind.Promise() && a.Kind != told.Replayed && a.Serial == p.Serial
}

func (w *Witness) inFull(user uint64, answer told.Answer, sent, received time.Time) drop.Answer {
	return drop.Answer{
		User: w.users.Name(user), N: 1, HTTP: answer.HTTP, Code: coupon.Code(answer.Code), Status: coupon.ClaimStatus(answer.Status),
		Serial: answer.Serial, Replayed: answer.Kind == told.Replayed, Sent: sent, Received: received, Fault: answer.Fault,
	}
}

// promises returns how many users hold one of a campaign.
func (w *Witness) promises(campaign int) (n int64) {
	for i := range w.lanes {
		l := &w.lanes[i]
		l.mu.Lock()
		for user := range l.promises {
			if w.plan.CampaignOf(user) == campaign {
				n++
			}
		}
		l.mu.Unlock()
	}
	return n
}

// Promised returns when each user was told of a promise, in order of time.
func (w *Witness) Promised() (times []time.Time) {
	for i := range w.lanes {
		l := &w.lanes[i]
		l.mu.Lock()
		for _, p := range l.promises {
			times = append(times, time.Unix(0, p.Received))
		}
		l.mu.Unlock()
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// bits are one for each user.
type bits []atomic.Uint64

func newBits(n uint64) bits { return make(bits, (n+63)/64) }

func (b bits) set(i uint64) {
	if mask := uint64(1) << (i % 64); b[i/64].Load()&mask == 0 {
		b[i/64].Or(mask)
	}
}

func (b bits) has(i uint64) bool { return b[i/64].Load()>>(i%64)&1 == 1 }

func (b bits) words() []uint64 {
	words := make([]uint64, len(b))
	for i := range b {
		words[i] = b[i].Load()
	}
	return words
}

func (b bits) add(words []uint64) {
	for i, word := range words {
		b[i].Or(word)
	}
}
