package apply

import (
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// watch is what this server has seen of one campaign's epoch, by its own monotonic clock.
type watch struct {
	epoch, version int64
	since          time.Time // when the epoch was first seen active
	seen           sightings // under this version, and those before it that only let Redis give out more
	lowering       wish
}

// watchAll notes what the view says now, and forgets the campaigns that Redis does not decide about any more.
func (k *Keeper) watchAll(opened []*coupon.Campaign, now time.Time) {
	next := make(map[string]*watch, len(opened))
	for _, c := range opened {
		w := k.watches[c.ID]
		if w == nil || w.epoch != c.Epoch {
			w = &watch{epoch: c.Epoch, since: now}
		}
		if w.version != c.Version && !w.raisedTo(c) {
			w.seen = nil
		}
		w.version = c.Version
		w.seen = w.seen.add(now, c.Hi)
		w.lowering = w.lowering.see(now, c)
		next[c.ID] = w
	}
	k.watches = next
}

// raisedTo reports whether c is the next version, and all that it did was to raise what Redis may give out: hi never fell
// meanwhile.
func (w *watch) raisedTo(c *coupon.Campaign) bool {
	return c.Version == w.version+1 && w.lowering.lowering == 0 && c.Lowering == 0 &&
		c.HiWanted > w.lowering.wanted && c.Hi >= w.seen.last()
}

// sightings are the values of hi that were seen of a campaign while it only rose, oldest first. What lowers it makes a new
// version.
type sightings []sighting

type sighting struct {
	at time.Time
	hi int64
}

// add keeps of the sightings that are old enough the newest one only.
func (s sightings) add(now time.Time, hi int64) sightings {
	for len(s) > 1 && now.Sub(s[1].at) >= viewsSettle {
		s = s[1:]
	}
	return append(s, sighting{at: now, hi: hi})
}

// last returns the value seen last, 0 without one.
func (s sightings) last() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].hi
}

// settled returns the highest value that every server knows hi to have reached, 0 without one.
func (s sightings) settled(now time.Time) int64 {
	if len(s) == 0 || now.Sub(s[0].at) < viewsSettle {
		return 0
	}
	return s[0].hi
}

// wish is a wish to lower the limit, and since when it has been seen.
type wish struct {
	lowering, wanted int64
	since            time.Time
}

func (w wish) see(now time.Time, c *coupon.Campaign) wish {
	if w.lowering == c.Lowering && w.wanted == c.HiWanted {
		return w
	}
	return wish{lowering: c.Lowering, wanted: c.HiWanted, since: now}
}

func (w wish) stands(now time.Time) bool {
	return w.lowering > 0 && now.Sub(w.since) >= loweringPatience
}
