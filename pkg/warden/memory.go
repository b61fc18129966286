package warden

import (
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// manyDoubts is from which doubt on calm grows no longer: a campaign then stays in mode sql for calm << (manyDoubts - 1).
const manyDoubts = 4

// memory is what the warden remembers of one campaign while it leads, by its own monotonic clock.
type memory struct {
	last   coupon.Campaign // as it was read last
	seen   time.Time       // since when it stands where it does, as far as is known
	here   time.Time       // since when Redis answers; zero while it does not
	away   time.Time       // since when Redis does not; zero while it does
	turned time.Time       // when it last changed its mode although Redis answered; zero if that was not seen

	tried  attempt   // what this warden last set out to do
	began  time.Time // when it first did so
	losses []loss    // of late
	doubts int       // how often in a row a Redis that answers was given up
}

// attempt is a step of a campaign's epoch. Trying the same again is the same attempt.
type attempt struct {
	step  step
	mode  coupon.Mode
	epoch int64
}

// loss is the end of an epoch whose claim state could not be trusted.
type loss struct {
	epoch int64
	at    time.Time
}

// note takes in what was found now.
func (m *memory) note(c *coupon.Campaign, health coupon.Health, now time.Time) {
	stands := c.Epoch == m.last.Epoch && c.EpochState == m.last.EpochState && c.EpochSince.Equal(m.last.EpochSince)
	if m.seen.IsZero() || !stands {
		m.seen = now
	}
	if m.last.Mode == coupon.ModeSQL && c.Mode == coupon.ModeRedis {
		m.turned = now
	}
	if c.Mode == coupon.ModeRedis && health.State == coupon.Sound && now.Sub(m.turned) >= m.patience() {
		m.doubts = 0
	}
	m.last = *c
	if health.State == coupon.Unreachable {
		m.here, m.away = time.Time{}, since(m.away, now)
		return
	}
	m.away, m.here = time.Time{}, since(m.here, now)
}

func since(began, now time.Time) time.Time {
	if began.IsZero() {
		return now
	}
	return began
}

// took takes in what the warden sets out to do. The same once more is no news.
func (m *memory) took(c *coupon.Campaign, d decision, now time.Time) {
	next := attempt{d.step, d.mode, c.Epoch}
	if m.tried == next {
		return
	}
	m.tried, m.began = next, now
	if d.lost {
		m.losses = append(m.lately(c.Epoch, now), loss{c.Epoch, now})
	}
	if d.unfit && c.Mode == coupon.ModeRedis {
		m.doubts++
		m.turned = now
	}
}

// lately returns the losses of other epochs within calm.
func (m *memory) lately(epoch int64, now time.Time) (lately []loss) {
	for _, l := range m.losses {
		if l.epoch != epoch && now.Sub(l.at) < calm {
			lately = append(lately, l)
		}
	}
	return lately
}

// stormy reports whether one more loss, of this epoch, is one too many.
func (m *memory) stormy(epoch int64, now time.Time) bool { return len(m.lately(epoch, now))+1 >= storm }

// patience is how long a campaign keeps its mode after a change: longer with each time that Redis proved unfit.
func (m *memory) patience() time.Duration { return calm << max(0, min(m.doubts, manyDoubts)-1) }

// rebuild chooses the mode: redis while Redis answers, and sql once it has been silent for long enough, or was found unfit
// not long ago.
func (m *memory) rebuild(now time.Time, why string) decision {
	switch {
	case m.away.IsZero() && m.doubts > 0 && now.Sub(m.turned) < m.patience():
		return unfit(why)
	case m.away.IsZero():
		return decision{step: rebuild, mode: coupon.ModeRedis, why: why}
	case m.silent(now):
		return decision{step: rebuild, mode: coupon.ModeSQL, why: why}
	default:
		return decision{}
	}
}

// silent reports whether Redis is away for long enough to do without it.
func (m *memory) silent(now time.Time) bool {
	return !m.away.IsZero() && now.Sub(m.away) >= awayPatience
}
