package simulated

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Stock is claim state as one caller reaches it: the methods of redisstock.Stock over plain maps, and what may befall a
// Redis. The conformance test of redisstock holds it to the real scripts.
type Stock struct {
	*redisState
	line *Line
}

// redisState is one Redis. Each method of Stock is one step on it, as a script is.
type redisState struct {
	mu        sync.Mutex
	now       func() time.Time
	ids       *identities
	id        string // the replication id
	campaigns map[string]*claimState
	down      bool
}

// claimState is what Redis holds of one campaign.
type claimState struct {
	document *coupon.Document // nil when there is none
	epochs   map[int64]*epochKeys
}

// epochKeys are the keys of one epoch. An empty set is a missing one, as in Redis; a missing count is not a count of 0.
type epochKeys struct {
	counted bool
	count   int64
	users   map[coupon.Key]bool
	serials map[coupon.Key]stored
	pending map[coupon.Key]int64 // when it is due, in ms
}

// stored is what is remembered of a claim.
type stored struct {
	serial int64
	at     int64 // ms
	mark   coupon.Mark
}

// NewStock returns an empty Redis with a clock of its own, reached without a line.
func NewStock(now func() time.Time) *Stock {
	ids := &identities{}
	return &Stock{redisState: &redisState{now: now, ids: ids, id: ids.next(), campaigns: map[string]*claimState{}}}
}

// Via returns the same Redis as reached by a line.
func (s *Stock) Via(line *Line) *Stock { return &Stock{redisState: s.redisState, line: line} }

// Down makes Redis refuse everything, or answer again. What it holds stays.
func (s *Stock) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Restart gives Redis a new replication id, and takes its data when it has not written any.
func (s *Stock) Restart(empty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = s.ids.next()
	if empty {
		clear(s.campaigns)
	}
}

// Flush takes all data. The replication id stays, as it does with FLUSHALL.
func (s *Stock) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.campaigns)
}

// StockKey is one of the five keys of a campaign's claim state.
type StockKey string

// The keys, by the last part of their names.
const (
	KeyMeta    StockKey = "meta"
	KeyUsers   StockKey = "users"
	KeyCount   StockKey = "count"
	KeySerials StockKey = "serials"
	KeyPending StockKey = "pending"
)

// DeleteKey takes one key of an epoch, or the campaign's document.
func (s *Stock) DeleteKey(ref coupon.EpochRef, key StockKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, k := s.keys(ref)
	switch key {
	case KeyMeta:
		c.document = nil
	case KeyUsers:
		clear(k.users)
	case KeyCount:
		k.counted, k.count = false, 0
	case KeySerials:
		clear(k.serials)
	case KeyPending:
		clear(k.pending)
	}
}

// Clone returns a replica as it is at this instant: it gets nothing new, and answers nobody before Promote.
func (s *Stock) Clone() *Stock {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Stock{redisState: &redisState{now: s.now, ids: s.ids, id: s.id, campaigns: s.copied(), down: true}}
}

// Promote makes a replica a master, with a replication id of its own. The old master knows nothing of it: both answer.
func (s *Stock) Promote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.down = s.ids.next(), false
}

// FailOver puts a promoted replica in the place of this Redis, with what the replica held.
func (s *Stock) FailOver(replica *Stock) {
	copied := replica.Clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.campaigns = s.ids.next(), copied.campaigns
}

func (r *redisState) copied() map[string]*claimState {
	campaigns := make(map[string]*claimState, len(r.campaigns))
	for id, c := range r.campaigns {
		copied := &claimState{epochs: make(map[int64]*epochKeys, len(c.epochs))}
		if c.document != nil {
			document := *c.document
			copied.document = &document
		}
		for epoch, k := range c.epochs {
			copied.epochs[epoch] = &epochKeys{
				counted: k.counted, count: k.count,
				users: maps.Clone(k.users), serials: maps.Clone(k.serials), pending: maps.Clone(k.pending),
			}
		}
		campaigns[id] = copied
	}
	return campaigns
}

// keys returns a campaign's state and the keys of one epoch, both made empty where there are none.
func (r *redisState) keys(ref coupon.EpochRef) (*claimState, *epochKeys) {
	c, ok := r.campaigns[ref.Campaign]
	if !ok {
		c = &claimState{epochs: map[int64]*epochKeys{}}
		r.campaigns[ref.Campaign] = c
	}
	k, ok := c.epochs[ref.Epoch]
	if !ok {
		k = &epochKeys{users: map[coupon.Key]bool{}, serials: map[coupon.Key]stored{}, pending: map[coupon.Key]int64{}}
		c.epochs[ref.Epoch] = k
	}
	return c, k
}

// live is the epoch of the document; 0 without one.
func (c *claimState) live() int64 {
	if c.document == nil {
		return 0
	}
	return c.document.Epoch
}

// agree reports whether the keys can be those of an epoch that began at lo with base members.
func (k *epochKeys) agree(lo, base int64) bool {
	members := base + k.count - lo + 1
	return k.counted && int64(len(k.users)) == members && int64(len(k.serials)) == members
}

// untouched reports whether the keys are as they were loaded.
func (k *epochKeys) untouched(lo, base int64) bool {
	return k.counted && k.count == lo-1 && int64(len(k.users)) == base && int64(len(k.serials)) == base
}

// step runs f as one script, if Redis answers.
func step[T any](ctx context.Context, s *Stock, what string, f func() (T, error)) (T, error) {
	return call(ctx, s.line, what, func() (T, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.down {
			var nothing T
			return nothing, coupon.Unavailable(what, errAway)
		}
		return f()
	})
}

// identities gives every start and promotion a replication id that no other has.
type identities struct {
	mu    sync.Mutex
	given int
}

func (i *identities) next() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.given++
	return fmt.Sprintf("%040x", i.given)
}
