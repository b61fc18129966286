package arrival

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Shard is which part of the users a process follows: those whose number divided by Of leaves Index.
type Shard struct{ Index, Of uint64 }

// Whole is the shard of everybody.
var Whole = Shard{0, 1}

// ParseShard reads "i/n", from 0/n to n-1/n.
func ParseShard(text string) (Shard, error) {
	var s Shard
	var rest string
	if n, _ := fmt.Sscanf(text+" ", "%d/%d%s", &s.Index, &s.Of, &rest); n != 2 || s.Index >= s.Of {
		return Shard{}, errors.New("a shard is i/n, from 0/n to n-1/n")
	}
	return s, nil
}

// String returns i/n.
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Of) }

// Complete returns an error unless the shards are everybody together, and nobody twice.
func Complete(shards []Shard) error {
	seen := map[Shard]bool{}
	for _, s := range shards {
		switch {
		case s.Of != shards[0].Of:
			return fmt.Errorf("shards %s and %s are not of one run", shards[0], s)
		case seen[s]:
			return fmt.Errorf("shard %s is there twice", s)
		}
		seen[s] = true
	}
	for s := (Shard{0, shards[0].Of}); s.Index < s.Of; s.Index++ {
		if !seen[s] {
			return fmt.Errorf("shard %s is missing", s)
		}
	}
	return nil
}

// Stream hands out the applies of a plan in the order of their times. One goroutine may use it at a time.
type Stream struct {
	plan   Plan
	shard  Shard
	random *rand.Rand
	next   uint64  // the user who comes next for the first time
	share  float64 // of the users' times that have passed
	coming Apply   // of that user
	back   comebacks
}

// Stream returns the applies of a shard. All shards together are the plan.
func (p Plan) Stream(shard Shard) *Stream {
	s := &Stream{plan: p, shard: shard, random: rand.New(rand.NewPCG(p.Seed, 1))}
	s.advance()
	return s
}

// Next returns the next apply; false after the last.
func (s *Stream) Next() (Apply, bool) {
	first := s.next <= s.plan.Users
	if len(s.back) > 0 && (!first || s.back[0].At < s.coming.At) {
		return s.returning(), true
	}
	if !first {
		return Apply{}, false
	}
	apply := s.coming
	s.advance()
	s.expect(visit{apply, 1})
	return apply, true
}

// advance finds the next user of the shard. Sorted random times need not be sorted: of those left, the first passes the
// share that the root of a random number leaves.
func (s *Stream) advance() {
	for s.next < s.plan.Users {
		user := s.next
		s.next++
		s.share = 1 - (1-s.share)*math.Pow(s.random.Float64(), 1/float64(s.plan.Users-user))
		if user%s.shard.Of == s.shard.Index {
			at := time.Duration(s.plan.shape().at(s.share) * float64(s.plan.Over))
			s.coming = Apply{At: at, User: user, Campaign: s.plan.CampaignOf(user)}
			return
		}
	}
	s.next = s.plan.Users + 1
}

func (s *Stream) returning() Apply {
	v := s.back.pop()
	v.times++
	s.expect(v)
	return v.Apply
}

// expect remembers that a user who was here will be back, if so.
func (s *Stream) expect(v visit) {
	if after, comes := s.plan.again(v.User, v.times); comes {
		s.back.push(visit{Apply{v.At + after, v.User, v.Campaign}, v.times})
	}
}

// Count returns how many applies a shard has.
func (p Plan) Count(shard Shard) (applies int64) {
	s := p.Stream(shard)
	for _, more := s.Next(); more; _, more = s.Next() {
		applies++
	}
	return applies
}

// visit is an apply of a user who was here so many times before it.
type visit struct {
	Apply
	times int
}

// comebacks is a heap: the visit that comes first is at 0.
type comebacks []visit

func (h *comebacks) push(v visit) {
	*h = append(*h, v)
	for at := len(*h) - 1; at > 0; {
		parent := (at - 1) / 2
		if !h.before(at, parent) {
			return
		}
		(*h)[at], (*h)[parent] = (*h)[parent], (*h)[at]
		at = parent
	}
}

func (h *comebacks) pop() visit {
	first, last := (*h)[0], len(*h)-1
	(*h)[0] = (*h)[last]
	*h = (*h)[:last]
	for at := 0; ; {
		child := 2*at + 1
		if child+1 < last && h.before(child+1, child) {
			child++
		}
		if child >= last || !h.before(child, at) {
			return first
		}
		(*h)[at], (*h)[child] = (*h)[child], (*h)[at]
		at = child
	}
}

func (h *comebacks) before(a, b int) bool {
	x, y := (*h)[a], (*h)[b]
	if x.At != y.At {
		return x.At < y.At
	}
	return x.User < y.User
}
