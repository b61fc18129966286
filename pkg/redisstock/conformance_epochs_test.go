package redisstock_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// under returns the document for the real Redis and for the model, which know the same seal by different names.
func under(doc coupon.Document, s seal) (real, model coupon.Document) {
	real, model = doc, doc
	real.Seal, model.Seal = s.real, s.model
	return real, model
}

func (h *harness) ref(epoch int64) coupon.EpochRef {
	return coupon.EpochRef{Campaign: h.doc.Campaign, Epoch: epoch}
}

// sealed requires that an id is new to both or known to both.
func (h *harness) sealed() error {
	got, err := h.stock.Seal(h.rt.Context(), h.doc.Campaign)
	if err != nil {
		return err
	}
	want, err := h.model.Seal(h.rt.Context(), h.doc.Campaign)
	if err != nil {
		return err
	}
	h.compared++
	for _, s := range h.seals {
		if (s.real == got) != (s.model == want) {
			return fmt.Errorf("%s is %+v, the model is %s", got, s, want)
		}
		if s.real == got {
			return nil
		}
	}
	h.seals = append(h.seals, seal{got, want})
	return nil
}

func (h *harness) own() (seal, error) {
	if err := h.sealed(); err != nil {
		return seal{}, err
	}
	id, err := h.model.Seal(h.rt.Context(), h.doc.Campaign)
	for _, s := range h.seals {
		if s.model == id {
			return s, err
		}
	}
	return seal{}, fmt.Errorf("no seal %s: %w", id, err)
}

// anySeal is the document's own most of the time.
func (h *harness) anySeal() seal {
	return rapid.SampledFrom(append([]seal{h.seal, h.seal, h.seal, {}, {"0123", "0123"}}, h.seals...)).Draw(h.rt, "seal")
}

func (h *harness) prepare() error {
	doc := h.doc
	doc.Epoch = max(1, doc.Epoch+rapid.SampledFrom([]int64{1, 1, 1, 0, -1}).Draw(h.rt, "epoch"))
	doc.Version = h.doc.Version + 1
	doc.Lo = rapid.Int64Range(1, 20).Draw(h.rt, "lo")
	doc.Hi = doc.Lo + rapid.Int64Range(-1, 8).Draw(h.rt, "free")
	doc.Base = 0
	h.next = doc
	return h.same(doc, answerOf(nil, h.stock.Prepare(h.rt.Context(), doc)), answerOf(nil, h.model.Prepare(h.rt.Context(), doc)))
}

var anyClaim = rapid.Custom(func(rt *rapid.T) coupon.Claim {
	return coupon.Claim{
		Key: anyKey.Draw(rt, "key"), Serial: rapid.Int64Range(1, 9).Draw(rt, "serial"),
		ClaimedAt: time.UnixMilli(rapid.Int64Range(1, 9).Draw(rt, "ms")),
	}
})

func (h *harness) load() error {
	ref := h.ref(h.next.Epoch)
	claims := rapid.SliceOfN(anyClaim, 1, 5).Draw(h.rt, "claims")
	mark := rapid.SampledFrom([]coupon.Mark{coupon.MarkIssued, coupon.MarkCarried}).Draw(h.rt, "mark")
	err := h.stock.Load(h.rt.Context(), ref, claims, mark)
	return h.same(claims, answerOf(nil, err), answerOf(nil, h.model.Load(h.rt.Context(), ref, claims, mark)))
}

func (h *harness) loaded() error {
	ref := h.ref(h.next.Epoch)
	got, err := h.stock.Loaded(h.rt.Context(), ref)
	want, wantErr := h.model.Loaded(h.rt.Context(), ref)
	if err == nil {
		h.next.Base = got
	}
	return h.same(ref, answerOf(got, err), answerOf(want, wantErr))
}

// open opens what was prepared, under any seal.
func (h *harness) open() error {
	if err := h.loaded(); err != nil {
		return err
	}
	doc := h.next
	doc.Base += rapid.SampledFrom([]int64{0, 0, 0, 0, 1}).Draw(h.rt, "off by")
	return h.openAs(doc, h.anySeal())
}

func (h *harness) openAs(doc coupon.Document, s seal) error {
	real, model := under(doc, s)
	err := h.stock.Open(h.rt.Context(), real)
	if err == nil {
		h.doc, h.seal = doc, s
	}
	return h.same(doc, answerOf(nil, err), answerOf(nil, h.model.Open(h.rt.Context(), model)))
}

// rebuild is steps F6 and F8 of a fence, sometimes with a mishap between them.
func (h *harness) rebuild() error {
	own, err := h.own()
	if err != nil {
		return err
	}
	h.next = h.doc
	h.next.Epoch, h.next.Version, h.next.State, h.next.PerUserLimit = max(h.doc.Epoch, h.next.Epoch)+1, h.doc.Version+1, coupon.DocumentOpen, 2
	h.next.Lo = rapid.Int64Range(1, 20).Draw(h.rt, "lo")
	h.next.Hi = h.next.Lo + rapid.Int64Range(-1, 12).Draw(h.rt, "free")
	h.next.OpensAt, h.next.ClosesAt = h.clock.Add(-time.Hour).Truncate(time.Millisecond), h.clock.Add(time.Hour).Truncate(time.Millisecond)
	err = h.same(h.next, answerOf(nil, h.stock.Prepare(h.rt.Context(), h.next)), answerOf(nil, h.model.Prepare(h.rt.Context(), h.next)))
	if err != nil {
		return err
	}
	for range rapid.IntRange(0, 3).Draw(h.rt, "pages") {
		if err := h.load(); err != nil {
			return err
		}
	}
	if err := h.loaded(); err != nil {
		return err
	}
	if rapid.IntRange(0, 7).Draw(h.rt, "mishap") == 7 {
		if err := h.damage(h.next.Epoch); err != nil {
			return err
		}
	}
	return h.openAs(h.next, own)
}

func (h *harness) push() error {
	now := h.clock.Truncate(time.Millisecond)
	doc := h.doc
	doc.Epoch = h.epoch()
	doc.Version += rapid.SampledFrom([]int64{1, 1, 1, 2, 0, -1}).Draw(h.rt, "version")
	doc.Hi = rapid.Int64Range(0, 30).Draw(h.rt, "hi")
	doc.State = rapid.SampledFrom([]coupon.DocumentState{"open", "open", "open", "open", "paused", "closed"}).Draw(h.rt, "state")
	doc.PerUserLimit = rapid.SampledFrom([]int{2, 3, 1, 0}).Draw(h.rt, "per user")
	shift := rapid.SampledFrom([]time.Duration{0, 0, 0, 0, -2 * time.Hour, 2 * time.Hour}).Draw(h.rt, "window")
	doc.OpensAt, doc.ClosesAt = now.Add(shift-time.Hour), now.Add(shift+time.Hour)
	real, model := under(doc, h.anySeal())
	got, err := h.stock.Push(h.rt.Context(), real)
	want, wantErr := h.model.Push(h.rt.Context(), model)
	if err == nil {
		h.doc.Version = max(h.doc.Version, got.Version)
	}
	return h.same(doc, answerOf(got, err), answerOf(want, wantErr))
}

func (h *harness) fence() error {
	ref := h.ref(h.epoch())
	got, err := h.stock.Fence(h.rt.Context(), ref)
	want, wantErr := h.model.Fence(h.rt.Context(), ref)
	return h.same(ref, answerOf(got, err), answerOf(want, wantErr))
}

func (h *harness) discard() error {
	before := h.epoch()
	err := h.stock.Discard(h.rt.Context(), h.doc.Campaign, before)
	return h.same(before, answerOf(nil, err), answerOf(nil, h.model.Discard(h.rt.Context(), h.doc.Campaign, before)))
}

// look asks of the record's campaign as it is, as it will be, and as it is not.
func (h *harness) look() error {
	campaign := coupon.Campaign{ID: h.doc.Campaign, Epoch: h.epoch(), Lo: h.doc.Lo, Base: h.doc.Base}
	if campaign.Epoch == h.next.Epoch || rapid.Bool().Draw(h.rt, "next") {
		campaign.Epoch, campaign.Lo, campaign.Base = h.next.Epoch, h.next.Lo, h.next.Base
	}
	campaign.Base += rapid.SampledFrom([]int64{0, 0, 0, 0, 1}).Draw(h.rt, "off by")
	s := h.anySeal()
	real, model := campaign, campaign
	real.Seal, model.Seal = s.real, s.model
	got := h.stock.Look(h.rt.Context(), []*coupon.Campaign{&real, {ID: "another", Epoch: 1, Lo: 1}})
	want := h.model.Look(h.rt.Context(), []*coupon.Campaign{&model, {ID: "another", Epoch: 1, Lo: 1}})
	h.seen[fmt.Sprint("health ", got[0].State)]++
	return h.same(campaign, statesOf(got), statesOf(want))
}

func statesOf(found []coupon.Health) (states []string) {
	for _, health := range found {
		states = append(states, fmt.Sprint(health.State, " with words: ", health.Why != ""))
	}
	return states
}

func (h *harness) levels() error {
	campaigns := []*coupon.Campaign{{ID: h.doc.Campaign, Epoch: h.epoch()}, {ID: "another", Epoch: 1}}
	got, err := h.stock.Levels(h.rt.Context(), campaigns)
	want, wantErr := h.model.Levels(h.rt.Context(), campaigns)
	return h.same(campaigns[0].Epoch, answerOf(got, err), answerOf(want, wantErr))
}
