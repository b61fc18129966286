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
	// storm is how many losses within calm are too many: each fence costs users a few seconds.
	storm = 3
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
	step    step
	mode    coupon.Mode // of the next epoch
	lost    bool        // the claim state of an open epoch turned out not to be trusted
	unfit   bool        // Redis answers, and does not hold the campaign
	returns bool        // from mode sql, where it is served: nobody waits for it
	why     string      // words for the log
}

// decide says what a campaign needs, from what the record says, what a look at Redis found just now, and what the warden
// remembers of it. It is pure: the warden acts.
func decide(c *coupon.Campaign, health coupon.Health, m *memory, now time.Time) decision {
	switch c.EpochState {
	case coupon.EpochFencing:
		return m.rebuild(now, "a fence was left half done")
	case coupon.EpochLoading:
		return decideLoading(c, m, now)
	case coupon.EpochActive:
		return decideActive(c, health, m, now)
	default:
		return decision{}
	}
}

// decideLoading takes over a loading that stands still: into Redis, unless that is what this warden has tried already.
func decideLoading(c *coupon.Campaign, m *memory, now time.Time) decision {
	if now.Sub(m.seen) < loadingPatience {
		return decision{}
	}
	if m.away.IsZero() && m.tried == (attempt{rebuild, coupon.ModeRedis, c.Epoch - 1}) {
		return unfit("Redis answers and the epoch was not loaded")
	}
	return m.rebuild(now, "a loading makes no progress")
}

func decideActive(c *coupon.Campaign, health coupon.Health, m *memory, now time.Time) decision {
	closed := c.Status == coupon.CampaignClosed
	if c.FenceWanted == c.Epoch {
		return m.rebuild(now, "a fence is wanted")
	}
	if c.Mode == coupon.ModeSQL {
		return decideSQL(closed, m, now)
	}
	switch health.State {
	case coupon.Lost:
		return decideLost(c, health.Why, m, now)
	case coupon.Unopened:
		return decideUnopened(c, health.Why, m, now)
	case coupon.Unreachable:
		if closed {
			return decision{} // it grants nothing; who has a row or a failed event is answered from MySQL meanwhile
		}
		return m.rebuild(now, "Redis is away: "+health.Why)
	default:
		return decision{}
	}
}

func decideLost(c *coupon.Campaign, why string, m *memory, now time.Time) decision {
	d := m.rebuild(now, why)
	if m.stormy(c.Epoch, now) {
		d = unfit("lost again and again: " + why)
	}
	d.lost = true
	return d
}

// decideUnopened opens the epoch, and gives Redis up once it has not let this warden do so for a while.
func decideUnopened(c *coupon.Campaign, why string, m *memory, now time.Time) decision {
	if now.Sub(m.seen) < viewsGone {
		return decision{}
	}
	if m.tried == (attempt{open, coupon.ModeRedis, c.Epoch}) && now.Sub(m.began) >= loadingPatience {
		return unfit("Redis answers and the epoch cannot be opened")
	}
	return decision{step: open, mode: coupon.ModeRedis, why: why}
}

// decideSQL brings a campaign back to Redis.
func decideSQL(closed bool, m *memory, now time.Time) decision {
	soon := !m.turned.IsZero() && now.Sub(m.turned) < m.patience()
	if closed || soon || m.here.IsZero() || now.Sub(m.here) < steady {
		return decision{}
	}
	return decision{step: rebuild, mode: coupon.ModeRedis, returns: true, why: "Redis is back"}
}

func unfit(why string) decision {
	return decision{step: rebuild, mode: coupon.ModeSQL, unfit: true, why: why}
}
