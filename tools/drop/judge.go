package drop

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// history is what one user was told about one claim.
type history struct {
	key
	answers  []Answer // by the time they came
	serial   int64    // of the first promise; 0 without one
	promised time.Time
	asked    time.Time // when the first try was sent
}

// histories sorts the answers by claim; the order of claims is that of the names, so findings do not change from run to
// run.
func histories(answers []Answer) []*history {
	byKey := map[key]*history{}
	for _, a := range answers {
		h := byKey[a.key()]
		if h == nil {
			h = &history{key: a.key(), asked: a.Sent}
			byKey[a.key()] = h
		}
		h.answers = append(h.answers, a)
		if a.Sent.Before(h.asked) {
			h.asked = a.Sent
		}
	}
	people := make([]*history, 0, len(byKey))
	for _, h := range byKey {
		slices.SortStableFunc(h.answers, func(a, b Answer) int { return a.Received.Compare(b.Received) })
		if i := slices.IndexFunc(h.answers, Answer.Binding); i >= 0 {
			h.serial, h.promised = h.answers[i].Serial, h.answers[i].Received
		}
		people = append(people, h)
	}
	slices.SortFunc(people, func(a, b *history) int { return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.n, b.n)) })
	return people
}

// soldOut reports whether the user was told that all are gone, and nothing better.
func (h *history) soldOut() bool {
	return h.serial == 0 && slices.ContainsFunc(h.answers, func(a Answer) bool { return a.Code == coupon.CodeSoldOut })
}

// judgeRows checks what the rows say by themselves.
func (v *Verdict) judgeRows(r record) {
	places := int64(len(r.rows)) - r.returned
	v.count(&v.Over, places-r.limit, "%d places are taken of %d", places, r.limit)
	v.count(&v.Miscounted, max(places-r.counted, r.counted-places), "%d places are taken, the campaign counts %d", places, r.counted)
	v.count(&v.Failed, r.failed, "%d failed events are live", r.failed)

	owned := map[key]bool{}
	for _, row := range r.rows {
		switch {
		case owned[row.key]:
			v.count(&v.Twice, 1, "%s has more than one row", row.key)
		case int64(row.n) > r.perUserLimit:
			v.count(&v.Twice, 1, "%s has serial %d, and only %d is allowed", row.key, row.serial, r.perUserLimit)
		}
		owned[row.key] = true
	}
	v.judgeGaps(r)
}

func (v *Verdict) judgeGaps(r record) {
	expected := int64(1)
	for _, row := range r.rows {
		last := min(row.serial, r.limit+1) - 1
		v.count(&v.Gaps, last-expected+1, "serials %d to %d have no row", expected, last)
		expected = max(expected, row.serial+1)
	}
}

// judgeOwners looks for rows that nobody asked for.
func (v *Verdict) judgeOwners(r record, people []*history) {
	applied := make(map[key]bool, len(people))
	for _, h := range people {
		applied[h.key] = true
	}
	for _, row := range r.rows {
		if !applied[row.key] {
			v.count(&v.Phantom, 1, "%s has serial %d and never applied", row.key, row.serial)
		}
	}
}

// judgePromises looks for promises without a row, and for stock that nobody got.
func (v *Verdict) judgePromises(r record, people []*history) {
	rows := make(map[row]bool, len(r.rows))
	for _, row := range r.rows {
		rows[row] = true
	}
	served := int64(0)
	for _, h := range people {
		if h.serial > 0 || h.soldOut() {
			served++
		}
		told := map[int64]bool{}
		for _, a := range h.answers {
			if !a.Binding() || told[a.Serial] {
				continue
			}
			told[a.Serial] = true
			if !rows[row{h.key, a.Serial}] {
				v.count(&v.Lost, 1, "%s was told serial %d is %s, and there is no such row", h.key, a.Serial, a.Status)
			}
		}
		v.count(&v.Twice, int64(len(told)-1), "%s was promised %d serials", h.key, len(told))
	}
	places := int64(len(r.rows)) - r.returned
	wanted := min(r.limit, served-r.returned) // who gave a place back wants none
	v.count(&v.Under, wanted-places, "%d places are taken, and %d users were promised one or told all are gone", places, served)
}

// judgeAnswers looks for answers that are wrong by themselves or contradict another one.
func (v *Verdict) judgeAnswers(people []*history) {
	owners := map[int64]key{}
	for _, h := range people {
		v.judgeHistory(h)
		if h.serial == 0 {
			continue
		}
		if other, taken := owners[h.serial]; taken {
			v.count(&v.Wrong, 1, "%s and %s were both told serial %d", other, h.key, h.serial)
		}
		owners[h.serial] = h.key
	}
}

func (v *Verdict) judgeHistory(h *history) {
	firsts := int64(0)
	for _, a := range h.answers {
		first := a.HTTP == http.StatusAccepted
		if first && a.Binding() {
			firsts++
		}
		holder := h.serial > 0 && a.Sent.After(h.promised)
		switch {
		case a.Fault != "":
			v.count(&v.Wrong, 1, "%s was answered %d: %s", h.key, a.HTTP, a.Fault)
		case holder && a.refused():
			v.count(&v.Wrong, 1, "%s holds serial %d and was told %s", h.key, h.serial, a.Code)
		case holder && first && !a.Binding():
			v.count(&v.Wrong, 1, "%s holds serial %d and was told of a first grant, %s", h.key, h.serial, a.Status)
		}
	}
	v.count(&v.Wrong, firsts-1, "%s was granted for the first time %d times", h.key, firsts)
}

// judgeOrder looks for those who came later and were served earlier: if A had a promise before B first applied, A's serial
// is the smaller one.
func (v *Verdict) judgeOrder(people []*history) {
	holders := slices.DeleteFunc(slices.Clone(people), func(h *history) bool { return h.serial == 0 })
	byPromise := slices.Clone(holders)
	slices.SortFunc(byPromise, func(a, b *history) int { return a.promised.Compare(b.promised) })
	slices.SortFunc(holders, func(a, b *history) int { return a.asked.Compare(b.asked) })
	var last *history // of those promised before the holder at hand applied, the one with the largest serial
	for _, h := range holders {
		for len(byPromise) > 0 && byPromise[0].promised.Before(h.asked) {
			if last == nil || byPromise[0].serial > last.serial {
				last = byPromise[0]
			}
			byPromise = byPromise[1:]
		}
		if last != nil && last.serial > h.serial {
			v.count(&v.Unordered, 1, "%s applied after %s had serial %d, and got %d", h.key, last.key, last.serial, h.serial)
		}
	}
}
