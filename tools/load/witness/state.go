package witness

import (
	"errors"
	"slices"

	"github.com/seonchak/seonchak/tools/load/arrival"
)

// State is a Witness that can be written to a file.
type State struct {
	Plan           arrival.Plan
	Campaigns      []string
	Promises       map[uint64]Promise
	Odd            []Odd
	Asked, SoldOut []uint64 // a bit for each user
}

// State returns all that the Witness keeps.
func (w *Witness) State() State {
	s := State{
		Plan: w.plan, Campaigns: w.campaigns, Promises: map[uint64]Promise{},
		Asked: w.asked.words(), SoldOut: w.soldOut.words(),
	}
	for i := range w.lanes {
		l := &w.lanes[i]
		l.mu.Lock()
		for user, p := range l.promises {
			s.Promises[user] = p
		}
		s.Odd = append(s.Odd, l.odd...)
		l.mu.Unlock()
	}
	return s
}

// Merge returns the Witness of several that followed shards of one plan.
func Merge(states ...State) (*Witness, error) {
	if len(states) == 0 {
		return nil, errors.New("nothing to merge")
	}
	w := New(states[0].Plan, states[0].Campaigns)
	for _, s := range states {
		if s.Plan != w.plan || !slices.Equal(s.Campaigns, w.campaigns) {
			return nil, errors.New("the results are not of one plan and the same campaigns")
		}
		for user, p := range s.Promises {
			if w.holds(user) {
				return nil, errors.New("two results are of the same shard")
			}
			w.lanes[user%lanes].promises[user] = p
		}
		for _, odd := range s.Odd {
			l := &w.lanes[odd.User%lanes]
			l.odd = append(l.odd, odd)
		}
		w.asked.add(s.Asked)
		w.soldOut.add(s.SoldOut)
	}
	return w, nil
}
