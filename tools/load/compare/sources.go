package compare

import (
	"time"

	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
)

// counting hands out users who never came before.
type counting struct{ next uint64 }

// Next returns an apply of a new user for the first campaign; false when there are none left.
func (c *counting) Next() (arrival.Apply, bool) {
	c.next++
	return arrival.Apply{User: c.next}, c.next < mostUsers
}

// among lets each user apply for one of the campaigns of a plan.
type among struct {
	drive.Source
	plan arrival.Plan
}

// Next returns the source's next apply, for the campaign that its user wants.
func (a *among) Next() (arrival.Apply, bool) {
	apply, more := a.Source.Next()
	apply.Campaign = a.plan.CampaignOf(apply.User)
	return apply, more
}

// planned hands out the applies of a plan, each of a user who never came before.
type planned struct {
	drive.Source
	users *counting
}

// Next returns the next apply of the plan.
func (p *planned) Next() (arrival.Apply, bool) {
	apply, more := p.Source.Next()
	fresh, left := p.users.Next()
	apply.User = fresh.User
	return apply, more && left
}

// cycling hands out the same users again and again.
type cycling struct{ next, count uint64 }

// Next returns an apply of the next user for the first campaign.
func (c *cycling) Next() (arrival.Apply, bool) {
	c.next = (c.next + 1) % c.count
	return arrival.Apply{User: c.next}, true
}

// timed ends a source after a while, which begins with the first apply.
type timed struct {
	drive.Source
	lasts time.Duration
	end   time.Time
}

// Next returns the next apply while there is time.
func (t *timed) Next() (arrival.Apply, bool) {
	if t.end.IsZero() {
		t.end = time.Now().Add(t.lasts)
	}
	if time.Now().After(t.end) {
		return arrival.Apply{}, false
	}
	return t.Source.Next()
}

// span hands out the users from next to end.
type span struct{ next, end uint64 }

// Next returns an apply of the next user for the first campaign.
func (s *span) Next() (arrival.Apply, bool) {
	s.next++
	return arrival.Apply{User: s.next - 1}, s.next <= s.end
}
