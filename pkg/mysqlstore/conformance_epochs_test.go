package mysqlstore

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func (h *harness) wantFence() error {
	id := h.anyID()
	return h.same(id, func(s side) (any, error) { return s.WantFence(h.ctx, id) })
}

func (h *harness) beginFence() error {
	refs := []coupon.EpochRef{{Campaign: "another", Epoch: 1}, h.ref()}
	return h.same(refs, func(s side) (any, error) {
		fencing, err := s.BeginFence(h.ctx, refs)
		return fmt.Sprint(fencing), err
	})
}

func (h *harness) beginEpoch() error {
	id, mode := h.anyID(), anyMode.Draw(h.rt, "mode")
	return h.same(id, func(s side) (any, error) { return s.BeginEpoch(h.ctx, id, mode) })
}

func (h *harness) closeEpoch() error {
	ref, mode := h.ref(), anyMode.Draw(h.rt, "mode")
	return h.same(ref, func(s side) (any, error) { return s.CloseEpoch(h.ctx, ref, mode) })
}

func (h *harness) takeOver() error {
	if rapid.Bool().Draw(h.rt, "late") {
		if err := h.pass(11 * time.Second); err != nil {
			return err
		}
	}
	ref, mode := h.ref(), anyMode.Draw(h.rt, "mode")
	return h.same(ref, func(s side) (any, error) { return s.TakeOverEpoch(h.ctx, ref, mode) })
}

func (h *harness) touch() error {
	ref := h.ref()
	if err := h.pass(time.Microsecond); err != nil { // a second touch at one instant changes nothing
		return err
	}
	return h.same(ref, func(s side) (any, error) { return nil, s.TouchEpoch(h.ctx, ref) })
}

func (h *harness) activate() error {
	doc := coupon.Document{
		Campaign: h.anyID(), Epoch: h.epoch(), Base: rapid.Int64Range(0, 5).Draw(h.rt, "base"),
		Seal: rapid.SampledFrom([]string{"one", "one", "two"}).Draw(h.rt, "seal"),
	}
	return h.same(doc, func(s side) (any, error) { return s.ActivateEpoch(h.ctx, doc) })
}

// rebuild is all of a fence, in the order of its steps; claims, or another fence, may arrive in between.
func (h *harness) rebuild() error {
	todo := []func(*harness) error{(*harness).fenceAll, (*harness).closeOne, (*harness).activateOne}
	for _, step := range todo {
		if err := step(h); err != nil {
			return err
		}
		if err := h.sameState(); err != nil {
			return err
		}
		switch rapid.IntRange(0, 9).Draw(h.rt, "meanwhile") {
		case 8:
			if err := h.retry(); err != nil {
				return err
			}
		case 9:
			if err := h.takeOver(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *harness) fenceAll() error {
	c := h.campaign()
	refs := []coupon.EpochRef{c.Ref()}
	return h.same(refs, func(s side) (any, error) {
		fencing, err := s.BeginFence(h.ctx, refs)
		return fmt.Sprint(fencing), err
	})
}

func (h *harness) closeOne() error {
	c, mode := h.campaign(), anyMode.Draw(h.rt, "mode")
	return h.same(c, func(s side) (any, error) { return s.CloseEpoch(h.ctx, c.Ref(), mode) })
}

func (h *harness) activateOne() error {
	c := h.campaign()
	if c.EpochState != coupon.EpochLoading {
		return nil
	}
	doc := c.Document()
	doc.Seal = "one"
	return h.same(doc, func(s side) (any, error) { return s.ActivateEpoch(h.ctx, doc) })
}

func (h *harness) status() error {
	id, to := h.anyID(), rapid.SampledFrom([]coupon.CampaignStatus{
		"active", "active", "active", "active", "paused", "paused", "paused", "draft", "closed",
	}).Draw(h.rt, "to")
	err := h.same(to, func(s side) (any, error) { return s.SetStatus(h.ctx, id, to) })
	return h.andDirect(err)
}

// window moves the campaign's times, and whether cancelled coupons come back.
func (h *harness) window() error {
	version := h.campaign().Version + rapid.SampledFrom([]int64{0, 0, 0, -1, 1}).Draw(h.rt, "version")
	shift := rapid.SampledFrom([]time.Duration{0, 0, 0, -2 * time.Hour, 2 * time.Hour}).Draw(h.rt, "shift")
	starts, ends := h.clock.now().Add(shift-time.Hour), h.clock.now().Add(shift+time.Hour)
	if rapid.IntRange(0, 9).Draw(h.rt, "backwards") == 9 {
		starts, ends = ends, starts
	}
	restock := rapid.IntRange(0, 3).Draw(h.rt, "restock") > 0
	change := coupon.CampaignChange{StartsAt: &starts, EndsAt: &ends, RestockOnCancel: &restock}
	id := h.anyID()
	err := h.same(version, func(s side) (any, error) { return s.UpdateCampaign(h.ctx, id, version, change) })
	return h.andDirect(err)
}

// andDirect asks those who judge by status and window.
func (h *harness) andDirect(err error) error {
	if err != nil || h.campaign().Mode != coupon.ModeSQL {
		return err
	}
	return h.direct()
}

func (h *harness) raise() error {
	id, delta := h.anyID(), rapid.Int64Range(0, 6).Draw(h.rt, "delta")
	err := h.same(delta, func(s side) (any, error) { return s.RaiseLimit(h.ctx, id, delta, "", "") })
	if err != nil || rapid.Bool().Draw(h.rt, "later") {
		return err
	}
	return h.raiseWanted()
}

func (h *harness) raiseWanted() error {
	c, ref := h.campaign(), h.ref()
	version := c.Version + rapid.SampledFrom([]int64{0, 0, 0, -1, 1}).Draw(h.rt, "version")
	seen := max(0, c.Hi+rapid.SampledFrom([]int64{0, 0, 0, -1, 1, -3}).Draw(h.rt, "seen"))
	return h.same(ref, func(s side) (any, error) { return s.RaiseWanted(h.ctx, ref, version, seen) })
}

// lower asks for the answer of Redis as often as not: there are places to lower by, and Redis may have given them out.
func (h *harness) lower() error {
	if rapid.Bool().Draw(h.rt, "raised") {
		if err := h.raise(); err != nil {
			return err
		}
	}
	id, delta := h.anyID(), rapid.SampledFrom([]int64{0, 1, 1, 1, 1, 2, 2, 3}).Draw(h.rt, "delta")
	begin := func(s side) (any, error) { return s.BeginLowering(h.ctx, id, delta, "", "") }
	if err := h.same(delta, begin); err != nil {
		return err
	}
	c := h.campaign()
	if c.Lowering == 0 {
		return nil
	}
	h.wishes = append(h.wishes, c.Document())
	if err := h.same(delta, begin); err != nil || rapid.Bool().Draw(h.rt, "later") {
		return err
	}
	return h.finishLowering()
}

// finishLowering answers to the document as it is, most of the time, or to an earlier one.
func (h *harness) finishLowering() error {
	c := h.campaign()
	docs := []coupon.Document{c.Document()}
	if n := len(h.wishes); n > 0 {
		docs = append(docs, h.wishes[n-1], h.wishes[max(0, n-2)], h.wishes[0])
	}
	doc, taken := rapid.SampledFrom(docs).Draw(h.rt, "document"), rapid.Bool().Draw(h.rt, "taken")
	return h.same(doc, func(s side) (any, error) { return s.FinishLowering(h.ctx, doc, taken) })
}

// cancel is of somebody who has a coupon, most of the time.
func (h *harness) cancel() error {
	key := h.key()
	_, rows, failures, _ := h.book.Look(h.id)
	whose := rapid.IntRange(0, 5).Draw(h.rt, "whose")
	switch {
	case whose > 2 && len(rows) > 0:
		key = rapid.SampledFrom(rows).Draw(h.rt, "row").Key
	case whose > 0 && len(failures) > 0:
		key = rapid.SampledFrom(failures).Draw(h.rt, "failure").Claim.Key
	}
	key.Campaign = h.anyID()
	return h.same(key, func(s side) (any, error) {
		row, c, err := s.Cancel(h.ctx, key, "")
		return []any{plainCoupon(row), plainCampaign(c)}, err
	})
}

func (h *harness) wait() error {
	return h.pass(rapid.SampledFrom([]time.Duration{time.Second, 2*time.Second - time.Millisecond, 3 * time.Second, 9 * time.Second, 11 * time.Second}).Draw(h.rt, "for"))
}
