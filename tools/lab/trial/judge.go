package trial

import (
	"cmp"
	"slices"
	"time"

	"github.com/seonchak/seonchak/tools/lab/serve"
	"github.com/seonchak/seonchak/tools/lab/strategy"
)

// Verdict counts what a strategy got wrong.
type Verdict struct {
	Over       int `json:"over"`       // places beyond the limit
	Twice      int `json:"twice"`      // places or rewards of a user beyond the first
	Lost       int `json:"lost"`       // users who were told yes, or to wait, and have nothing; updates that are gone
	Burned     int `json:"burned"`     // places that nobody has or was promised, although users were told that all are gone
	Wrong      int `json:"wrong"`      // answers that the record or another answer contradicts
	Miscounted int `json:"miscounted"` // how far the strategy's own count is from the rows
	Unordered  int `json:"unordered"`  // users who were served although somebody was sent away, or served later, before they came
	Unanswered int `json:"unanswered"` // users who had no answer in the end
}

// Right reports whether nothing was wrong. Order and patience are no question of right.
func (v Verdict) Right() bool {
	return v.Over == 0 && v.Twice == 0 && v.Lost == 0 && v.Burned == 0 && v.Wrong == 0 && v.Miscounted == 0
}

// Plus adds two verdicts up.
func (v Verdict) Plus(other Verdict) Verdict {
	return Verdict{
		v.Over + other.Over, v.Twice + other.Twice, v.Lost + other.Lost, v.Burned + other.Burned, v.Wrong + other.Wrong,
		v.Miscounted + other.Miscounted, v.Unordered + other.Unordered, v.Unanswered + other.Unanswered,
	}
}

// history is what one user was told.
type history struct {
	user     string
	asked    time.Time // when the first try was sent
	answered time.Time // when the first answer came that was one
	held     time.Time // when a place was promised
	grants   int       // first ones
	soldOut  bool
	refused  bool
	queued   bool
	last     strategy.Outcome
	wrong    int
}

func histories(tries []try) map[string]*history {
	slices.SortStableFunc(tries, func(a, b try) int { return a.received.Compare(b.received) })
	people := map[string]*history{}
	for _, t := range tries {
		h := people[t.user]
		if h == nil {
			h = &history{user: t.user, asked: t.sent}
			people[t.user] = h
		}
		h.add(t)
	}
	return people
}

func (h *history) add(t try) {
	if t.sent.Before(h.asked) {
		h.asked = t.sent
	}
	if h.answered.IsZero() && t.outcome != unknown {
		h.answered = t.received
	}
	h.last = t.outcome
	switch t.outcome {
	case strategy.Granted:
		h.grants++
	case strategy.SoldOut:
		h.soldOut = true
		if !h.held.IsZero() && t.sent.After(h.held) {
			h.wrong++
		}
	case strategy.Refused:
		h.refused = true
	case strategy.Queued:
		h.queued = true
	case odd:
		h.wrong++
	}
	if t.holder() && h.held.IsZero() {
		h.held = t.received
	}
}

// onlySoldOut reports whether all that the user was told is that all are gone.
func (h *history) onlySoldOut() bool { return h.soldOut && h.held.IsZero() && !h.refused && !h.queued }

// misnumbered counts the promises that name another number than the row has.
func misnumbered(tries []try, serials map[string]int64) (found int) {
	for _, t := range tries {
		if serial, ok := serials[t.user]; ok && t.serial > 0 && t.serial != serial {
			found++
		}
	}
	return found
}

// judge compares what the users of a drop were told with the record.
func judge(limit int, tries []try, r Record) (v Verdict) {
	people := histories(tries)
	owned := map[string]int{}
	for _, user := range r.Rows {
		owned[user]++
	}
	v.Over = max(0, len(r.Rows)-limit)
	v.Twice = len(r.Rows) - len(owned)
	v.Miscounted = r.miscounted()
	v.Wrong += misnumbered(tries, r.Serials)
	soldOut := false
	for user, h := range people {
		soldOut = soldOut || h.soldOut
		v.judge(h, owned[user] > 0, r.Decided[user])
	}
	if soldOut {
		v.Burned = max(0, limit-len(r.Rows)-v.Lost)
	}
	if r.Rewards != nil {
		v.judgeRewards(owned, r.Rewards)
	}
	v.Unordered = unordered(people, r.Rows)
	return v
}

func (v *Verdict) judge(h *history, owns, decided bool) {
	v.Wrong += h.wrong + max(0, h.grants-1)
	switch {
	case !owns && !h.held.IsZero(), !owns && h.queued && !decided:
		v.Lost++
	case !owns && h.refused && !h.soldOut, owns && h.onlySoldOut():
		v.Wrong++
	}
	if h.last == busy || h.last == unknown {
		v.Unanswered++
	}
}

func (v *Verdict) judgeRewards(owned, rewards map[string]int) {
	for user, n := range rewards {
		v.Twice += max(0, n-1)
		if owned[user] == 0 {
			v.Over++
		}
	}
	for user := range owned {
		if rewards[user] == 0 {
			v.Lost++
		}
	}
}

// unordered counts users with a place who came after somebody had been answered that has none, or a later one.
func unordered(people map[string]*history, rows []string) (found int) {
	place := map[string]int{}
	for i, user := range slices.Backward(rows) {
		place[user] = i
	}
	placeOf := func(h *history) int {
		if i, ok := place[h.user]; ok {
			return i
		}
		return len(rows)
	}
	var byAnswer, byArrival []*history
	for _, h := range people {
		byArrival = append(byArrival, h)
		if !h.answered.IsZero() {
			byAnswer = append(byAnswer, h)
		}
	}
	slices.SortFunc(byArrival, func(a, b *history) int { return cmp.Or(a.asked.Compare(b.asked), cmp.Compare(a.user, b.user)) })
	slices.SortFunc(byAnswer, func(a, b *history) int { return cmp.Or(a.answered.Compare(b.answered), cmp.Compare(a.user, b.user)) })
	last := -1 // the latest place of those answered before the one at hand came
	for _, h := range byArrival {
		for len(byAnswer) > 0 && byAnswer[0].answered.Before(h.asked) {
			last = max(last, placeOf(byAnswer[0]))
			byAnswer = byAnswer[1:]
		}
		if placeOf(h) < last {
			found++
		}
	}
	return found
}

// judgePoints compares what was acknowledged with the account. What is unknown may be in it or not.
func judgePoints(tries []try, r Record) (v Verdict) {
	yes, perhaps := 0, 0
	for _, t := range tries {
		switch t.outcome {
		case strategy.Granted:
			yes++
		case unknown:
			perhaps++
		case busy:
			v.Unanswered++
		default:
			v.Wrong++
		}
	}
	added := r.Points / serve.Points
	v.Lost, v.Twice = max(0, yes-added), max(0, added-yes-perhaps)
	if strategy.Grade(r.Points) != r.Grade {
		v.Wrong++
	}
	return v
}

// judgeSeat looks for two who were sure to have the one seat at one time.
func judgeSeat(tries []try, r Record) (v Verdict) {
	type stay struct{ from, to time.Time }
	stays := map[string]*stay{}
	slices.SortStableFunc(tries, func(a, b try) int { return a.received.Compare(b.received) })
	for _, t := range tries {
		switch s := stays[t.user]; {
		case t.holder() && s == nil:
			stays[t.user] = &stay{from: t.received}
		case t.outcome == gaveBack:
			s.to = t.sent
		case t.outcome == odd:
			v.Wrong++
		}
	}
	var all []*stay
	for user, s := range stays {
		if s.to.IsZero() { // kept
			s.to = tries[len(tries)-1].received.Add(time.Hour)
			if !slices.Contains(r.Rows, user) {
				v.Lost++
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *stay) int { return a.from.Compare(b.from) })
	for i, s := range all {
		if i > 0 && s.from.Before(all[i-1].to) {
			v.Over++
		}
		if i > 0 && all[i-1].to.After(s.to) {
			s.to = all[i-1].to
		}
	}
	v.Over = max(v.Over, len(r.Rows)-1)
	if len(stays) <= cancels {
		v.Burned++ // the seat is free, or somebody's who does not know, and nobody gets it
	}
	v.Miscounted = r.miscounted()
	return v
}
