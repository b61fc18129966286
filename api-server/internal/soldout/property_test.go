package soldout

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	walks       = 200
	walkSteps   = 600
	people      = 24
	viewsSettle = 2 * time.Second // the rule of raises and of the fence
)

// world is a campaign as the record and Redis have it, the view of one server, and the memory under test. Others claim, too.
type world struct {
	*Memory

	mu     sync.Mutex // held but while time passes
	random *rand.Rand
	record coupon.Campaign
	epoch  int64 // of Redis, and what follows
	hi     int64
	count  int64
	state  coupon.DocumentState
	users  map[string]bool

	view    coupon.Campaign
	asOf    time.Time
	due     []action // in no order
	busy    bool     // a raise, a lowering or a rebuild is under way
	refused int
	wrong   []string
}

type action struct {
	at time.Time
	do func()
}

func newWorld(seed uint64) *world {
	w := &world{
		random: rand.New(rand.NewPCG(seed, 1)), epoch: 1, hi: 6, state: coupon.DocumentOpen, users: map[string]bool{},
		record: coupon.Campaign{
			ID: campaignID, Epoch: 1, Mode: coupon.ModeRedis, EpochState: coupon.EpochActive, Status: coupon.CampaignActive,
			Lo: 1, Hi: 6, HiWanted: 6, Version: 1, EndsAt: time.Now().Add(1000 * time.Hour),
		},
	}
	w.Memory = NewLoader(w, slog.New(slog.DiscardHandler)).Memory()
	w.view, w.asOf = w.record, time.Now()
	return w
}

// Holders is a scan in steps of three: what happens between them shows.
func (w *world) Holders(_ context.Context, ref coupon.EpochRef, hi int64, cursor uint64) ([]coupon.Key, int64, uint64, error) {
	<-time.After(10 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	if ref.Epoch != w.epoch || w.state == coupon.DocumentFenced || hi != w.hi || w.count != w.hi {
		return nil, 0, 0, errAway
	}
	all := slices.Sorted(maps.Keys(w.users))
	var page []coupon.Key
	for _, user := range all[min(int(cursor), len(all)):min(int(cursor)+3, len(all))] {
		page = append(page, key(user))
	}
	if cursor += 3; cursor >= uint64(len(all)) {
		cursor = 0
	}
	return page, int64(len(all)), cursor, nil
}

func (w *world) claim(epoch int64, user string) coupon.Decision {
	switch {
	case epoch == w.epoch && w.users[user]:
		return coupon.Decision{Verdict: coupon.Held}
	case epoch != w.epoch || w.state == coupon.DocumentFenced:
		return coupon.Decision{Verdict: coupon.WrongEpoch}
	case w.state == coupon.DocumentPaused:
		return coupon.Decision{Verdict: coupon.RefusedPaused}
	case w.count >= w.hi:
		return coupon.Decision{Verdict: coupon.RefusedSoldOut, Hi: w.hi}
	}
	w.count++
	w.users[user] = true
	return coupon.Decision{Verdict: coupon.Granted}
}

// apply is one apply at this server: from memory, or by Redis. What is said from memory must be true now.
func (w *world) apply(user string) {
	now, c := time.Now(), w.view
	if !w.Refuses(&c, w.asOf, now, key(user)) {
		w.pass(w.span(0, 20*time.Millisecond))
		d := w.claim(c.Epoch, user)
		w.pass(w.span(0, 20*time.Millisecond))
		w.Heard(&c, []coupon.Decision{d}, now)
		return
	}
	w.refused++
	switch {
	case w.users[user]:
		w.wrong = append(w.wrong, fmt.Sprintf("%s holds a claim of epoch %d and was told sold_out", user, w.epoch))
	case w.count < w.hi && w.state == coupon.DocumentOpen:
		w.wrong = append(w.wrong, fmt.Sprintf("%s was told sold_out at %d of %d", user, w.count, w.hi))
	}
}

// steps are what may happen next, those that happen more often more often.
func (w *world) step() {
	user := fmt.Sprint("u", w.random.IntN(people))
	switch n := w.random.IntN(100); {
	case n < 70:
		w.apply(user)
	case n < 80:
		w.claim(w.epoch, user) // at another server
	case n < 92:
		asked := time.Now()
		w.pass(w.span(0, 5*time.Millisecond))
		w.view, w.asOf = w.record, asked
	case n < 94:
		w.pass(w.span(0, 4*time.Second)) // nobody comes, and the view is not refreshed
	case w.busy:
	case n < 96:
		w.raise()
	case n < 97:
		w.lower()
	case n < 99:
		w.rebuild()
	default:
		w.pause()
	}
}

func (w *world) raise() {
	w.busy = true
	w.record.Hi += 1 + w.random.Int64N(2)
	w.after(viewsSettle+w.span(0, time.Second), func() {
		w.record.HiWanted = w.record.Hi
		w.record.Version++
		w.hi, w.busy = w.record.HiWanted, false
	})
}

func (w *world) lower() {
	if w.count >= w.hi {
		return
	}
	w.busy = true
	w.record.HiWanted, w.record.Lowering = w.record.HiWanted-1, 1
	w.record.Version++
	w.after(w.span(0, time.Second), func() {
		taken := w.count < w.hi
		if taken {
			w.hi--
		}
		w.after(w.span(0, time.Second), func() {
			w.record.Lowering, w.busy = 0, false
			w.record.Version++
			if taken {
				w.record.Hi--
				return
			}
			w.record.HiWanted++
		})
	})
}

// rebuild is a fence and a rebuild, in which some claims may be lost that were never promised: their places are free again.
func (w *world) rebuild() {
	w.busy = true
	w.record.EpochState = coupon.EpochFencing
	w.record.Version++
	began := time.Now()
	w.after(w.span(0, time.Second), func() {
		if w.random.IntN(2) == 0 { // F2, if Redis answers
			w.state = coupon.DocumentFenced
		}
		w.after(w.span(0, 3*time.Second), func() {
			w.record.Epoch++
			w.record.EpochState = coupon.EpochActive
			w.record.Version++
			w.after(max(0, time.Until(began.Add(viewsSettle)))+w.span(0, time.Second), w.open)
		})
	})
}

func (w *world) open() {
	free := w.record.HiWanted - w.count
	users := map[string]bool{}
	for _, user := range slices.Sorted(maps.Keys(w.users)) {
		if w.random.IntN(5) == 0 {
			free++
			continue
		}
		users[user] = true
	}
	w.epoch, w.users, w.state, w.busy = w.record.Epoch, users, coupon.DocumentOpen, false
	w.hi = w.count + free
	w.record.Hi, w.record.HiWanted = w.hi, w.hi
}

func (w *world) pause() {
	w.busy = true
	w.record.Status, w.state = coupon.CampaignPaused, coupon.DocumentPaused
	w.record.Version++
	w.after(w.span(0, 2*time.Second), func() {
		w.record.Status, w.state, w.busy = coupon.CampaignActive, coupon.DocumentOpen, false
		w.record.Version++
	})
}

func (w *world) span(from, to time.Duration) time.Duration {
	return from + time.Duration(w.random.Int64N(int64(to-from)))
}

func (w *world) after(d time.Duration, do func()) {
	w.due = append(w.due, action{time.Now().Add(d), do})
}

// pass lets time pass, the loader work, and what is due be done. Whoever calls it holds the lock.
func (w *world) pass(d time.Duration) {
	for end := time.Now().Add(d); ; {
		next := end
		for _, a := range w.due {
			if a.at.Before(next) {
				next = a.at
			}
		}
		w.mu.Unlock()
		pass(time.Until(next))
		w.mu.Lock()
		w.doDue()
		if !time.Now().Before(end) {
			return
		}
	}
}

func (w *world) doDue() {
	due := w.due
	w.due = nil
	for _, a := range due {
		if time.Now().Before(a.at) {
			w.due = append(w.due, a)
			continue
		}
		a.do()
	}
}

// Whatever happens to a campaign, nobody who holds a claim is refused from memory, and nobody while Redis has places.
func TestNoFalseNo(t *testing.T) {
	t.Parallel()
	refused := 0
	for seed := range uint64(walks) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(seed)
			w.mu.Lock()
			defer w.mu.Unlock()
			for range walkSteps {
				w.step()
				w.pass(w.span(0, 30*time.Millisecond))
			}
			w.pass(time.Minute) // until no load is under way
			refused += w.refused
			require.Emptyf(t, w.wrong, "seed %d", seed)
		})
	}
	t.Logf("%d refused from memory", refused)
	require.Greater(t, refused, 20*walks)
}
