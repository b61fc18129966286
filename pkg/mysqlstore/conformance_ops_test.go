package mysqlstore

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// operations are drawn by their weights.
var operations = map[string]struct {
	weight int
	do     func(*harness) error
}{
	"issue":        {12, (*harness).issue},
	"retry":        {8, (*harness).retry},
	"conflict":     {3, (*harness).conflict},
	"park":         {3, (*harness).park},
	"direct":       {10, (*harness).direct},
	"want fence":   {1, (*harness).wantFence},
	"begin fence":  {2, (*harness).beginFence},
	"begin epoch":  {2, (*harness).beginEpoch},
	"close epoch":  {2, (*harness).closeEpoch},
	"take over":    {2, (*harness).takeOver},
	"touch":        {2, (*harness).touch},
	"activate":     {3, (*harness).activate},
	"rebuild":      {8, (*harness).rebuild},
	"status":       {4, (*harness).status},
	"window":       {4, (*harness).window},
	"raise":        {3, (*harness).raise},
	"raise wanted": {3, (*harness).raiseWanted},
	"lower":        {6, (*harness).lower},
	"finish lower": {4, (*harness).finishLowering},
	"cancel":       {5, (*harness).cancel},
	"wait":         {3, (*harness).wait},
	"lists":        {1, (*harness).lists},
	"of keys":      {2, (*harness).ofKeys},
	"pages":        {2, (*harness).pages},
}

var weighted = func() (names []string) {
	for name, o := range operations {
		names = append(names, slices.Repeat([]string{name}, o.weight)...)
	}
	slices.Sort(names) // the same draw is the same operation in every run
	return names
}()

var (
	anyMode = rapid.SampledFrom([]coupon.Mode{coupon.ModeRedis, coupon.ModeRedis, coupon.ModeRedis, coupon.ModeSQL, coupon.ModeSQL})
	anyUser = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "A", "01"})
	anyN    = rapid.SampledFrom([]int{1, 1, 1, 1, 1, 1, 2, 2, 3})
	few     = rapid.Int64Range(1, 4)
)

func (h *harness) campaign() coupon.Campaign {
	c, _, _, _ := h.book.Look(h.id)
	return c
}

// anyID is the campaign's own most of the time.
func (h *harness) anyID() string {
	if rapid.IntRange(0, 39).Draw(h.rt, "id") == 39 {
		return "another"
	}
	return h.id
}

// ref is that of the current epoch most of the time.
func (h *harness) ref() coupon.EpochRef {
	return coupon.EpochRef{Campaign: h.anyID(), Epoch: h.epoch()}
}

func (h *harness) epoch() int64 {
	return max(0, h.campaign().Epoch+rapid.SampledFrom([]int64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, -2}).Draw(h.rt, "epoch"))
}

func (h *harness) key() coupon.Key {
	return coupon.Key{Campaign: h.id, User: anyUser.Draw(h.rt, "user"), N: anyN.Draw(h.rt, "n")}
}

func (h *harness) keys() (keys []coupon.Key) {
	for range rapid.IntRange(1, 6).Draw(h.rt, "keys") {
		keys = append(keys, h.key())
	}
	return keys
}

// claim is a new one, one that was delivered before, or one that differs from it in its user, its serial or its epoch.
func (h *harness) claim() coupon.Claim {
	kind := "new"
	if len(h.claims) > 0 {
		kind = rapid.SampledFrom([]string{"new", "new", "new", "new", "new", "again", "user", "serial"}).Draw(h.rt, "kind")
	}
	c := coupon.Claim{ClaimedAt: h.clock.now()}
	if kind == "new" {
		c.Epoch = h.epoch()
	} else {
		c = rapid.SampledFrom(h.claims).Draw(h.rt, "claim")
	}
	if kind == "new" || kind == "user" {
		c.Key = h.key()
	}
	if kind == "new" || kind == "serial" {
		c.Serial = h.nextSerial(c.Epoch)
	}
	h.claims = append(h.claims, c)
	return c
}

// nextSerial follows the last one of the epoch as long as there are any, or is anywhere around its range.
func (h *harness) nextSerial(epoch int64) int64 {
	for _, e := range h.book.Epochs(h.id) {
		if e.Number != epoch {
			continue
		}
		next := max(e.Lo, h.serial[epoch]+1)
		if next > e.HiMax || rapid.IntRange(0, 7).Draw(h.rt, "off") == 7 {
			return rapid.Int64Range(max(0, e.Lo-2), e.HiMax+1).Draw(h.rt, "serial")
		}
		h.serial[epoch] = next
		return next
	}
	return few.Draw(h.rt, "serial")
}

func (h *harness) create() error {
	now := h.clock.now()
	c := coupon.Campaign{
		ID: h.id, Name: h.id, Limit: rapid.Int64Range(1, 8).Draw(h.rt, "limit"), PerUserLimit: 2,
		StartsAt: now.Add(-time.Hour), EndsAt: now.Add(time.Hour), StockDisplay: coupon.StockExact,
		RestockOnCancel: rapid.IntRange(0, 3).Draw(h.rt, "restock") > 0,
	}
	again := func(s side) (any, error) { return nil, s.CreateCampaign(h.ctx, c) }
	if err := h.same(c, again); err != nil {
		return err
	}
	if err := h.same(c, again); err != nil || rapid.IntRange(0, 7).Draw(h.rt, "draft") == 7 {
		return err
	}
	mode := anyMode.Draw(h.rt, "mode")
	begin := func(s side) (any, error) { return s.BeginEpoch(h.ctx, h.id, mode) }
	if err := h.same(mode, begin); err != nil || mode == coupon.ModeSQL {
		return err
	}
	return h.activateOne()
}

func (h *harness) issue() error {
	if h.campaign().Mode == coupon.ModeSQL && rapid.IntRange(0, 2).Draw(h.rt, "log") > 0 {
		return h.direct() // nothing of such an epoch is ever in the log
	}
	id := h.anyID()
	var batch []coupon.Delivery
	for range rapid.IntRange(1, 6).Draw(h.rt, "deliveries") {
		c := h.claim()
		c.Campaign = id
		batch = append(batch, h.delivery(c))
	}
	return h.issueAll(id, batch, make([]int, len(batch)))
}

// delivery is at a place of its own in the log, as each is.
func (h *harness) delivery(c coupon.Claim) coupon.Delivery {
	h.delivered++
	return coupon.Delivery{Claim: c, Position: fmt.Sprintf("%s:0:%d", h.id, h.delivered)}
}

// retry tries failed events again, those that ended too, and claims fresh from the log with them.
func (h *harness) retry() error {
	_, _, failures, _ := h.book.Look(h.id)
	if len(failures) == 0 {
		return h.issue()
	}
	var batch []coupon.Delivery
	var which []int
	for range rapid.IntRange(1, 4).Draw(h.rt, "events") {
		i := rapid.IntRange(1, len(failures)).Draw(h.rt, "event")
		batch, which = append(batch, coupon.Delivery{Claim: failures[i-1].Claim}), append(which, i)
	}
	for range rapid.IntRange(0, 2).Draw(h.rt, "deliveries") {
		batch, which = append(batch, h.delivery(h.claim())), append(which, 0)
	}
	return h.issueAll(h.id, batch, which)
}

// conflict is what a Redis does that lost claims: another user gets a serial that is a row. The fence that follows carries
// the promise over, and a retry makes a row of it while there is a place.
func (h *harness) conflict() error {
	_, rows, _, _ := h.book.Look(h.id)
	if len(rows) == 0 {
		return h.issue()
	}
	c := rapid.SampledFrom(rows).Draw(h.rt, "row").Claim
	c.Key = h.key()
	h.claims = append(h.claims, c)
	if err := h.issueAll(h.id, []coupon.Delivery{h.delivery(c)}, []int{0}); err != nil {
		return err
	}
	if err := h.rebuild(); err != nil {
		return err
	}
	if err := h.sameState(); err != nil {
		return err
	}
	return h.retry()
}

// issueAll issues a batch; which says of each delivery which failed event it is, from 1.
func (h *harness) issueAll(id string, batch []coupon.Delivery, which []int) error {
	return h.same(batch, func(s side) (any, error) {
		batch := slices.Clone(batch)
		for i, failure := range which {
			if failure > 0 {
				batch[i].FailedID = s.failures[failure-1]
			}
		}
		return s.Issue(h.ctx, id, batch)
	})
}

func (h *harness) park() error {
	var events []coupon.FailedEvent
	for range rapid.IntRange(1, 3).Draw(h.rt, "events") {
		c := h.claim()
		c.Serial = max(1, c.Serial) // no event has less
		events = append(events, coupon.FailedEvent{
			EventKey: c.EventKey(), Campaign: h.id, Epoch: c.Epoch, Claim: c,
			Reason: coupon.ReasonTransientExhausted, Status: coupon.FailurePending,
		})
	}
	return h.same(events, func(s side) (any, error) { return nil, s.Park(h.ctx, events) })
}

// direct asks for grants that the log did not take, or for serials, or for both at once.
func (h *harness) direct() error {
	id, epoch := h.anyID(), h.epoch()
	wishes := h.campaign().Mode == coupon.ModeSQL
	var claims []coupon.Claim
	for range rapid.IntRange(1, 6).Draw(h.rt, "claims") {
		c := coupon.Claim{Key: h.key()}
		if (rapid.IntRange(0, 5).Draw(h.rt, "other") == 5) == wishes {
			c = h.claim()
			c.Epoch, c.Serial = epoch, max(1, c.Serial)
		}
		c.Campaign = id
		claims = append(claims, c)
	}
	return h.same(claims, func(s side) (any, error) { return s.Direct(h.ctx, id, epoch, claims) })
}

// lists compares what programs read of all campaigns; the database has those of other checks too.
func (h *harness) lists() error {
	ctx := h.ctx
	own := func(c coupon.Campaign) bool { return c.ID != h.id }
	err := h.same("view", func(s side) (any, error) {
		view, err := s.View(ctx)
		return slices.DeleteFunc(view, own), err
	})
	if err != nil {
		return err
	}
	err = h.same("watched", func(s side) (any, error) {
		watched, err := s.Watched(ctx)
		return slices.DeleteFunc(watched, own), err
	})
	if err != nil {
		return err
	}
	return h.same("standings", func(s side) (any, error) { return s.Standings(ctx, []string{"another", h.id}) })
}

func (h *harness) ofKeys() error {
	ctx, id, keys := h.ctx, h.anyID(), h.keys()
	err := h.same(keys, func(s side) (any, error) { return s.CouponsOf(ctx, id, keys) })
	if err != nil {
		return err
	}
	return h.same(keys, func(s side) (any, error) { return s.FailuresOf(ctx, id, keys) })
}

// pages compares what a fence loads.
func (h *harness) pages() error {
	ctx, id := h.ctx, h.anyID()
	limit, skip := rapid.IntRange(1, 4).Draw(h.rt, "limit"), rapid.IntRange(0, len(h.model.failures)).Draw(h.rt, "after")
	err := h.same(skip, func(s side) (any, error) {
		after := int64(0)
		if skip > 0 {
			after = s.failures[skip-1]
		}
		claims, last, err := s.CarriedClaims(ctx, id, after, limit)
		return []any{plain(claims), slices.Index(s.failures, last)}, err
	})
	if err != nil {
		return err
	}
	after := h.campaign().Lo - few.Draw(h.rt, "before")
	return h.same(after, func(s side) (any, error) { return s.IssuedClaims(ctx, id, after, limit) })
}
