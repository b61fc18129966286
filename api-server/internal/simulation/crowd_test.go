package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// crowd is the users: each comes at some instant and asks until told something final. While faults happen, some ask again
// after that, and some who were told no come back.
type crowd struct {
	world *world
	name  uint64        // of its randomness
	spans time.Duration // within which they come
	last  bool          // nothing fails any more: what is told is final
}

const comesBack = 3 // times that a user who was told no does

// run has every user served, and returns once all of them are done or ctx has ended.
func (c crowd) run(ctx context.Context) {
	var all sync.WaitGroup
	for i := range people {
		random := c.world.random(c.name + uint64(i))
		key := coupon.Key{Campaign: campaign, User: fmt.Sprintf("u%02d", i), N: 1}
		all.Go(func() { c.serve(ctx, key, random) })
	}
	all.Wait()
}

// serve asks for one user.
func (c crowd) serve(ctx context.Context, key coupon.Key, random *rand.Rand) {
	wait, longest, denials := between(random, 0, c.spans), 100*time.Millisecond, 0
	for pass(ctx, wait) == nil {
		a := c.askOnceOrTwice(ctx, key, random)
		switch {
		case a.binding():
			if c.last || random.IntN(2) == 0 {
				return
			}
			wait = between(random, 0, c.spans)
		case a.denial():
			if denials++; c.last || denials > comesBack {
				return
			}
			wait = between(random, 0, c.spans/4)
		default:
			wait, longest = between(random, 20*time.Millisecond, longest), min(2*longest, 5*time.Second)
		}
	}
}

// askOnceOrTwice asks, now and then twice at nearly the same time, and returns the better answer.
func (c crowd) askOnceOrTwice(ctx context.Context, key coupon.Key, random *rand.Rand) (first told) {
	server, other, later := random.IntN(servers), random.IntN(servers), between(random, 1, time.Millisecond)
	if random.IntN(5) > 0 {
		return c.ask(ctx, key, server)
	}
	var both sync.WaitGroup
	var second told
	both.Go(func() { first = c.ask(ctx, key, server) })
	both.Go(func() {
		_ = pass(ctx, later)
		second = c.ask(ctx, key, other)
	})
	both.Wait()
	if second.binding() {
		return second
	}
	return first
}

// ask sends one apply, writes down what was answered, and returns it. A server that dies answers nobody.
func (c crowd) ask(ctx context.Context, key coupon.Key, at int) told {
	s := c.world.servers[at].Load()
	asked := told{key: key, called: time.Now()}
	c.world.journal.call(key, asked.called)
	if s.down() {
		return asked
	}
	replies := make(chan told, 1)
	places := c.world.places()
	go func() {
		a := asked
		answer, err := s.service.Apply(context.WithoutCancel(ctx), key)
		a.ended, a.blind = time.Now(), s.record.blind()
		var refusal *coupon.Error
		switch {
		case err == nil:
			a.status, a.serial, a.epoch = answer.Status, answer.Claim.Serial, answer.Claim.Epoch
		case errors.As(err, &refusal):
			a.refusal = refusal.Code
			a.free = refusal.Code == coupon.CodeSoldOut && places.free(c.world.places())
		}
		replies <- a
	}()
	select {
	case a := <-replies:
		if s.down() {
			return asked
		}
		c.world.journal.write(a)
		return a
	case <-s.dead:
		return asked
	}
}

// places are what Redis has to give out, where it is Redis that gives it out; zero elsewhere.
type places struct{ epoch, hi, last int64 }

func (w *world) places() places {
	c, _, _, _ := w.record.Look(campaign)
	if c.Mode != coupon.ModeRedis || c.EpochState != coupon.EpochActive || c.Status != coupon.CampaignActive {
		return places{}
	}
	d := c.Document()
	d.Version = 0 // changes nothing
	pushed, err := w.stock.Push(context.Background(), d)
	if err != nil || pushed.Version < c.Version {
		return places{}
	}
	return places{epoch: c.Epoch, hi: pushed.Hi, last: pushed.Last}
}

// free reports whether a place was free all the time from p until later. The last serial only rises, and hi does not fall and
// rise again within a call.
func (p places) free(later places) bool {
	return p.epoch > 0 && p.epoch == later.epoch && later.last < min(p.hi, later.hi)
}
