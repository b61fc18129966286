// Package soldout remembers who holds a claim of a sold-out epoch, so that everyone else can be refused from memory.
package soldout

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	// viewAge is how old the view of a campaign may be, counted from when it was asked for. A raised hi, and the next epoch
	// in mode redis, reach Redis 2 s after they reached the record: by then every view that may be used knows them. Views are
	// read again every second: in what is left the next one may be on its way.
	viewAge = 1500 * time.Millisecond

	// answerAge is for how long an answer of Redis, counted from when it was asked, lets others be refused; renewAfter, when
	// one apply asks again for all of them.
	answerAge  = 500 * time.Millisecond
	renewAfter = answerAge / 2

	// clockDoubt is how long before the end of the window, by the clock of this server, only Redis says how it stands: its
	// clock decides.
	clockDoubt = 2 * time.Second

	// idle is for how long the holders of a campaign are kept that nobody applies to.
	idle = time.Minute
	// reloadAfter is the time between two tries at loading.
	reloadAfter = time.Second
)

// Memory is what is remembered of one campaign. It is safe for concurrent use.
type Memory struct {
	loader  *Loader
	current atomic.Pointer[answer]

	mu      sync.Mutex
	about   soldOut   // what is held, or being loaded, is about; zero when nothing is
	holders *holders  // nil until all are known
	loading bool      // one load at a time, also of an epoch that is of no interest any more
	failed  time.Time // when a load last did
	heard   time.Time // when Redis was last asked and said sold_out
	tidying *time.Timer
}

// soldOut names an epoch that is sold out at hi. In one epoch that names a set of holders that never changes: they come only
// while the count is below hi, and none goes.
type soldOut struct {
	ref coupon.EpochRef
	hi  int64
}

// answer is Redis' last word on a campaign, and until when it lets others be refused. It is never changed.
type answer struct {
	epoch, hi, version int64 // the view that Redis agreed with
	until, renew       time.Time
	renewing           bool // one apply is on its way to Redis for all
	holders            *holders
}

// Refuses reports whether an apply that came at now can be told sold_out without asking Redis: nobody who holds a claim
// can, and nobody while a place might be free. c is the campaign as it was asked for at asOf; both instants have monotonic
// readings. Every so often it is false for one apply of many, so that Redis is asked, and Heard hears.
func (m *Memory) Refuses(c *coupon.Campaign, asOf, now time.Time, key coupon.Key) bool {
	a := m.current.Load()
	if a == nil || !a.stands(c, asOf, now) || a.holders.has(key) {
		return false
	}
	return a.renewing || now.Before(a.renew) || !m.current.CompareAndSwap(a, a.renewed())
}

// stands reports whether Redis would answer everybody who holds nothing as it did.
func (a *answer) stands(c *coupon.Campaign, asOf, now time.Time) bool {
	return now.Before(a.until) && now.Sub(asOf) <= viewAge &&
		c.Epoch == a.epoch && c.Hi == a.hi && c.Version == a.version &&
		grants(c) && now.Before(c.EndsAt.Add(-clockDoubt))
}

// grants reports whether Redis would grant claims of the campaign if it had places.
func grants(c *coupon.Campaign) bool {
	return c.Mode == coupon.ModeRedis && c.EpochState == coupon.EpochActive && c.Status == coupon.CampaignActive
}

// renewed is a once an apply is on its way for all. If it is not heard of, until ends a all the same.
func (a *answer) renewed() *answer {
	next := *a
	next.renewing = true
	return &next
}

// Heard takes in how Redis decided a batch of applies to c, the view it was asked by, at asked. Only sold_out, with the hi of
// that view, lets others be refused; whatever else it says of somebody without a claim ends it.
func (m *Memory) Heard(c *coupon.Campaign, decisions []coupon.Decision, asked time.Time) {
	ended := false
	for _, d := range decisions {
		switch d.Verdict {
		case coupon.RefusedSoldOut: // after the last grant, if there was one
			m.confirm(c, d.Hi, asked)
			return
		case coupon.Held, coupon.RefusedPerUserLimit: // say nothing about the stock
		default:
			ended = true
		}
	}
	if ended {
		m.forget()
	}
}

func (m *Memory) confirm(c *coupon.Campaign, hi int64, asked time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	about := soldOut{ref: c.Ref(), hi: hi}
	if about != m.about || hi != c.Hi {
		m.drop()
	}
	if hi != c.Hi {
		return // a raise or a lowering is on its way
	}
	if m.holders == nil {
		m.load(about, asked)
		return
	}
	m.heard = asked
	m.current.Store(&answer{
		epoch: c.Epoch, hi: hi, version: c.Version,
		until: asked.Add(answerAge), renew: asked.Add(renewAfter), holders: m.holders,
	})
}

// load has the holders loaded, unless that is under way or failed a moment ago. The answers that come after they are loaded
// are the first to let others be refused.
func (m *Memory) load(about soldOut, now time.Time) {
	m.about = about
	if m.loading || now.Before(m.failed.Add(reloadAfter)) {
		return
	}
	m.loading = true
	go func() {
		found, err := m.loader.load(about)
		m.loaded(about, found, err)
	}()
}

func (m *Memory) loaded(about soldOut, found *holders, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loading = false
	switch {
	case err != nil:
		m.failed = time.Now()
	case about != m.about:
		m.loader.release(found)
	default:
		m.holders, m.heard = found, time.Now()
		m.tidyLater()
	}
}

// tidyLater has one timer for all holders there ever are, and none of them in it: what is dropped is freed at once.
func (m *Memory) tidyLater() {
	if m.tidying == nil {
		m.tidying = time.AfterFunc(idle, m.tidy)
		return
	}
	m.tidying.Reset(idle)
}

// tidy drops the holders that have not been of use for a while.
func (m *Memory) tidy() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.holders == nil:
	case time.Since(m.heard) >= idle:
		m.drop()
	default:
		m.tidyLater()
	}
}

func (m *Memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
}

// drop forgets everything. Whoever has read the last answer just before was right to.
func (m *Memory) drop() {
	m.current.Store(nil)
	m.loader.release(m.holders)
	m.about, m.holders = soldOut{}, nil
}
