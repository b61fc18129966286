package warden

import (
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	// awayPatience is how long Redis may be silent before its campaigns go to mode sql.
	awayPatience = 5 * time.Second
	// steady is how long Redis must answer before its campaigns come back, and between one return and the next lies calm:
	// each change of mode costs users a few seconds.
	steady = 10 * time.Second
	calm   = time.Minute
	// loadingPatience is after how long without progress a loading is taken over; the record insists on it too.
	loadingPatience = 10 * time.Second
	// viewsGone is how long an epoch is active in MySQL before it may be opened in Redis: by then no server's view is of the
	// one before.
	viewsGone = 2 * time.Second
)

// step is what a campaign's claim state needs.
type step uint8

const (
	nothing step = iota
	open         // the epoch is active and loaded: let it grant
	rebuild      // fence, or go on with a fence
)

func (s step) String() string { return [...]string{"nothing", "open", "rebuild"}[s] }

// decision is what is to be done for a campaign.
type decision struct {
	step step
	mode coupon.Mode // of the next epoch
	lost bool        // the claim state of an open epoch turned out not to be trusted
	why  string      // words for the log
}

// decide says what a campaign needs, from what the record says, what a look at Redis found just now, and what the warden
// remembers of it. It is pure: the warden acts.
func decide(c *coupon.Campaign, health coupon.Health, m *memory, now time.Time) decision {
	switch c.EpochState {
	case coupon.EpochFencing:
		return m.rebuild(now, "a fence was left half done")
	case coupon.EpochLoading:
		if now.Sub(m.seen) < loadingPatience {
			return decision{}
		}
		return m.rebuild(now, "a loading makes no progress")
	case coupon.EpochActive:
		return decideActive(c, health, m, now)
	default:
		return decision{}
	}
}

func decideActive(c *coupon.Campaign, health coupon.Health, m *memory, now time.Time) decision {
	closed := c.Status == coupon.CampaignClosed
	if !closed && c.FenceWanted == c.Epoch {
		return m.rebuild(now, "a fence is wanted")
	}
	if c.Mode == coupon.ModeSQL {
		return decideSQL(closed, m, now)
	}
	switch health.State {
	case coupon.Lost:
		return decision{step: rebuild, mode: coupon.ModeRedis, lost: true, why: health.Why}
	case coupon.Unopened:
		if now.Sub(m.seen) < viewsGone {
			return decision{}
		}
		return decision{step: open, mode: coupon.ModeRedis, why: health.Why}
	case coupon.Unreachable:
		if closed {
			return decision{} // its holders are answered from MySQL meanwhile
		}
		return m.rebuild(now, "Redis is away: "+health.Why)
	default:
		return decision{}
	}
}

// decideSQL brings a campaign back to Redis.
func decideSQL(closed bool, m *memory, now time.Time) decision {
	soon := !m.returned.IsZero() && now.Sub(m.returned) < calm
	if closed || soon || m.here.IsZero() || now.Sub(m.here) < steady {
		return decision{}
	}
	return decision{step: rebuild, mode: coupon.ModeRedis, why: "Redis is back"}
}

// memory is what the warden remembers of one campaign while it leads, by its own monotonic clock.
type memory struct {
	last     coupon.Campaign // as it was read last
	seen     time.Time       // since when it stands where it does, as far as is known
	here     time.Time       // since when Redis answers; zero while it does not
	away     time.Time       // since when Redis does not; zero while it does
	returned time.Time       // when it last came back from mode sql; zero if that was not seen
}

// note takes in what was found now.
func (m *memory) note(c *coupon.Campaign, health coupon.Health, now time.Time) {
	stands := c.Epoch == m.last.Epoch && c.EpochState == m.last.EpochState && c.EpochSince.Equal(m.last.EpochSince)
	if m.seen.IsZero() || !stands {
		m.seen = now
	}
	if m.last.Mode == coupon.ModeSQL && c.Mode == coupon.ModeRedis {
		m.returned = now
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

// rebuild chooses the mode: redis while Redis answers, and sql once it has been silent for long enough.
func (m *memory) rebuild(now time.Time, why string) decision {
	switch {
	case m.away.IsZero():
		return decision{step: rebuild, mode: coupon.ModeRedis, why: why}
	case now.Sub(m.away) >= awayPatience:
		return decision{step: rebuild, mode: coupon.ModeSQL, why: why}
	default:
		return decision{}
	}
}
