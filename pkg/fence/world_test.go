package fence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

var errDead = errors.New("this process is dead")

// world is MySQL, Redis and the log as a fence sees them, with the states that its steps go through.
type world struct {
	mu    sync.Mutex
	books map[string]*campaignBook
	redis map[string]*redisCampaign
	ends  []int64
	read  []int64 // committed by the consumers
	seal  string

	process *process
	meddle  func(ctx context.Context, step string) error // called before a step takes effect
	locked  string                                       // a campaign whose row somebody else has locked
	silent  bool                                         // the log takes nothing
	steps   []string
}

type campaignBook struct {
	coupon.Campaign
	since         time.Time
	rows, carried []coupon.Claim
	highest       int64 // serial any activated epoch could have given
}

type redisCampaign struct {
	document coupon.Document
	keys     map[int64]map[coupon.Key]coupon.Mark
}

// process is one Fence's life: it dies at its n-th step, before the step takes effect or after.
type process struct {
	world *world
	left  int
	late  bool
	dead  bool
	kill  context.CancelFunc // what a SIGKILL does to the goroutines that wait
}

func newWorld() *world {
	return &world{
		books: map[string]*campaignBook{}, redis: map[string]*redisCampaign{},
		ends: []int64{10, 0, 7}, read: []int64{10, 0, 7}, seal: "replid",
	}
}

// add makes an open campaign of 100 places: rows of serials 1 to issued, and as many carried claims after them.
func (w *world) add(id string, issued, carried int) *campaignBook {
	c := &campaignBook{Campaign: coupon.Campaign{
		ID: id, Limit: 100, Issued: int64(issued), Status: coupon.CampaignActive, PerUserLimit: 1,
		Epoch: 1, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Lo: 1, Hi: 100, HiWanted: 100, Version: 3,
	}, highest: 100}
	for i := range issued + carried {
		key := coupon.Key{Campaign: id, User: fmt.Sprint("u", i), N: 1}
		claim := coupon.Claim{Key: key, Epoch: 1, Serial: int64(i + 1)}
		if i < issued {
			c.rows = append(c.rows, claim)
			continue
		}
		c.carried = append(c.carried, claim)
	}
	w.books[id] = c
	w.redis[id] = &redisCampaign{keys: map[int64]map[coupon.Key]coupon.Mark{}}
	return c
}

// fence returns a Fence in a process that dies at its n-th step; 0 for one that lives.
func (w *world) fence(n int, late bool) *Fence {
	p := &process{world: w, left: n, late: late, kill: func() {}}
	w.process = p
	return NewFence(p, p, p, p, Options{Now: time.Now, Loaded: func(int) {}})
}

func (w *world) campaign(id string) coupon.Campaign {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.books[id].Campaign
}

// do carries a step out, in one piece, unless the process dies.
func (p *process) do(ctx context.Context, step string, effect func() error) error {
	if meddle := p.world.meddle; meddle != nil {
		if err := meddle(ctx, step); err != nil {
			return err
		}
	}
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	if p.left--; p.dead || ctx.Err() != nil {
		return errors.Join(errDead, ctx.Err())
	}
	if p.left == 0 {
		p.dead = true
		p.kill()
	}
	if p.dead && !p.late {
		return errDead
	}
	p.world.steps = append(p.world.steps, step)
	if err := effect(); err != nil || !p.dead {
		return err
	}
	return errDead
}

func (p *process) BeginFence(ctx context.Context, refs []coupon.EpochRef) (fencing []coupon.EpochRef, err error) {
	err = p.do(ctx, "begin", func() error {
		if slices.ContainsFunc(refs, func(ref coupon.EpochRef) bool { return ref.Campaign == p.world.locked }) {
			return coupon.Unavailable("begin fence", errAway)
		}
		for _, ref := range refs {
			c := p.world.books[ref.Campaign]
			if c.Epoch == ref.Epoch && c.EpochState == coupon.EpochActive {
				c.EpochState = coupon.EpochFencing
			}
			if c.Epoch == ref.Epoch && c.EpochState == coupon.EpochFencing {
				fencing = append(fencing, ref)
			}
		}
		return nil
	})
	return fencing, err
}

func (p *process) CloseEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error) {
	return p.end(ctx, "close "+ref.Campaign, ref, mode, coupon.EpochFencing)
}

func (p *process) TakeOverEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error) {
	return p.end(ctx, "take over "+ref.Campaign, ref, mode, coupon.EpochLoading)
}

func (p *process) end(
	ctx context.Context, step string, ref coupon.EpochRef, mode coupon.Mode, from coupon.EpochState,
) (after coupon.Campaign, err error) {
	err = p.do(ctx, step, func() error {
		c := p.world.books[ref.Campaign]
		if c.Epoch != ref.Epoch || c.EpochState != from {
			return coupon.Unavailable("elsewhere", nil)
		}
		if from == coupon.EpochLoading && time.Since(c.since) < 10*time.Second {
			return coupon.Unavailable("somebody is loading it", nil)
		}
		c.open(mode)
		after = c.Campaign
		return nil
	})
	return after, err
}

func (c *campaignBook) open(mode coupon.Mode) {
	if c.Status == coupon.CampaignClosed {
		c.EpochState = coupon.EpochClosed
		return
	}
	carried := int64(len(c.carried))
	c.Epoch, c.EpochState, c.Mode, c.since = c.Epoch+1, coupon.EpochLoading, mode, time.Now()
	c.Lo = c.highest + carried + 1
	c.Hi = c.Lo + c.Limit - c.Issued - carried - 1
	c.HiWanted, c.Seal, c.Base = c.Hi, "", 0
	if mode == coupon.ModeSQL {
		c.EpochState, c.highest = coupon.EpochActive, c.Hi
	}
}

func (p *process) ActivateEpoch(ctx context.Context, d coupon.Document) (coupon.Document, error) {
	err := p.do(ctx, "activate "+d.Campaign, func() error {
		c := p.world.books[d.Campaign]
		if c.Epoch != d.Epoch || c.EpochState != coupon.EpochLoading {
			return coupon.Unavailable("taken over", nil)
		}
		c.EpochState, c.Seal, c.Base, c.highest = coupon.EpochActive, d.Seal, d.Base, c.Hi
		c.Version++
		d = c.Document()
		return nil
	})
	return d, err
}

func (p *process) CarriedClaims(ctx context.Context, id string, after int64, limit int) (claims []coupon.Claim, last int64, err error) {
	err = p.do(ctx, "read carried "+id, func() error {
		all := p.world.books[id].carried
		claims = all[after:min(int(after)+limit, len(all))]
		return nil
	})
	return claims, after + int64(len(claims)), err
}

func (p *process) IssuedClaims(ctx context.Context, id string, after int64, limit int) (claims []coupon.Claim, err error) {
	err = p.do(ctx, "read rows "+id, func() error {
		for _, claim := range p.world.books[id].rows {
			if claim.Serial > after && len(claims) < limit {
				claims = append(claims, claim)
			}
		}
		return nil
	})
	return claims, err
}

func (p *process) TouchEpoch(ctx context.Context, ref coupon.EpochRef) error {
	return p.do(ctx, "touch "+ref.Campaign, func() error {
		c := p.world.books[ref.Campaign]
		if c.Epoch != ref.Epoch || c.EpochState != coupon.EpochLoading {
			return coupon.Unavailable("taken over", nil)
		}
		c.since = time.Now()
		return nil
	})
}

func (p *process) Fence(ctx context.Context, ref coupon.EpochRef) (fenced bool, err error) {
	err = p.do(ctx, "fence "+ref.Campaign, func() error {
		d := &p.world.redis[ref.Campaign].document
		if fenced = d.Epoch == ref.Epoch; fenced {
			d.State = coupon.DocumentFenced
		}
		return nil
	})
	return fenced, err
}

func (p *process) Seal(ctx context.Context, id string) (string, error) {
	return p.world.seal, p.do(ctx, "seal "+id, func() error { return nil })
}

func (p *process) Prepare(ctx context.Context, d coupon.Document) error {
	return p.do(ctx, "prepare "+d.Campaign, func() error {
		p.world.redis[d.Campaign].keys[d.Epoch] = map[coupon.Key]coupon.Mark{}
		return nil
	})
}

func (p *process) Load(ctx context.Context, ref coupon.EpochRef, claims []coupon.Claim, mark coupon.Mark) error {
	return p.do(ctx, fmt.Sprintf("load %s %d %c", ref.Campaign, len(claims), mark), func() error {
		for _, claim := range claims {
			p.world.redis[ref.Campaign].keys[ref.Epoch][claim.Key] = mark
		}
		return nil
	})
}

func (p *process) Loaded(ctx context.Context, ref coupon.EpochRef) (members int64, err error) {
	err = p.do(ctx, "loaded "+ref.Campaign, func() error {
		members = int64(len(p.world.redis[ref.Campaign].keys[ref.Epoch]))
		return nil
	})
	return members, err
}

func (p *process) Open(ctx context.Context, d coupon.Document) error {
	return p.do(ctx, "open "+d.Campaign, func() error {
		r := p.world.redis[d.Campaign]
		if r.document.Epoch > d.Epoch || d.Seal != p.world.seal || int64(len(r.keys[d.Epoch])) != d.Base {
			return coupon.Unavailable("not here", nil)
		}
		r.document = d
		return nil
	})
}

func (p *process) Discard(ctx context.Context, id string, before int64) error {
	return p.do(ctx, "discard "+id, func() error {
		for epoch := range p.world.redis[id].keys {
			if epoch < before {
				delete(p.world.redis[id].keys, epoch)
			}
		}
		return nil
	})
}

func (p *process) Flush(ctx context.Context, id string, _ int64) error {
	return p.do(ctx, "flush "+id, func() error { return nil })
}

func (p *process) Barrier(ctx context.Context, _ string) (ends []int64, err error) {
	if p.world.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	err = p.do(ctx, "barrier", func() error {
		w := p.world
		for i := range w.ends {
			w.ends[i]++
		}
		ends = slices.Clone(w.ends)
		return nil
	})
	return ends, err
}

// Committed drains the log at its second look.
func (p *process) Committed(ctx context.Context) (offsets []int64, err error) {
	err = p.do(ctx, "committed", func() error {
		offsets = slices.Clone(p.world.read)
		copy(p.world.read, p.world.ends)
		return nil
	})
	return offsets, err
}

// requireWhole says that a campaign is active in mode redis, open on its owner, and that every claim is there once.
func (w *world) requireWhole(t *testing.T, id string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	c, r := w.books[id], w.redis[id]
	require.Equal(t, coupon.EpochActive, c.EpochState)
	require.Equal(t, c.Document(), r.document)
	require.Equal(t, w.seal, c.Seal)
	want := map[coupon.Key]coupon.Mark{}
	for _, claim := range c.carried {
		want[claim.Key] = coupon.MarkCarried
	}
	for _, claim := range c.rows {
		want[claim.Key] = coupon.MarkIssued
	}
	require.Equal(t, want, r.keys[c.Epoch])
	require.EqualValues(t, len(want), c.Base)
	require.Equal(t, c.Limit, c.Issued+int64(len(c.carried))+c.HiWanted-c.Lo+1, "stock is conserved")
	require.Greater(t, c.Lo, int64(100), "no serial of the first epoch is given again")
}
