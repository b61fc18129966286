package redisstock

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// lookPage is how many campaigns one pipeline asks for: few enough that no claim waits behind it.
const lookPage = 100

// findings is what the answers of look.lua mean.
var findings = map[string]coupon.HealthState{
	"sound":    coupon.Sound,
	"unopened": coupon.Unopened,
	"lost":     coupon.Lost,
	"replica":  coupon.Unreachable,
}

// probeLife is how long the key of a write probe stays.
const probeLife = 5 * time.Second

// Look judges the claim state of each campaign against what the record says of it (Epoch, Lo, Base and Seal), in the order
// given. It never fails: of a Redis that did not answer, or takes no writes, nothing can be granted and the state is
// Unreachable. The masters of a cluster are asked side by side, so that a silent one says nothing about the others.
func (s *Stock) Look(ctx context.Context, campaigns []*coupon.Campaign) []coupon.Health {
	found := make([]coupon.Health, len(campaigns))
	var all sync.WaitGroup
	for _, places := range s.byMaster(ctx, len(campaigns), func(i int) string { return metaKey(campaigns[i].ID) }) {
		all.Go(func() {
			for page := range slices.Chunk(places, lookPage) {
				s.lookAt(ctx, campaigns, page, found)
			}
		})
	}
	all.Wait()
	return found
}

// lookAt looks at the campaigns at some places, all of one server, and writes what it finds to the same places of found. A
// write probe goes first: a Redis that is read-only, out of memory or short of replicas answers questions and can grant nothing.
func (s *Stock) lookAt(ctx context.Context, campaigns []*coupon.Campaign, places []int, found []coupon.Health) {
	calls := make([]call, len(places))
	for i, at := range places {
		calls[i] = lookCall(campaigns[at])
	}
	probe := s.client.Set(ctx, probeKey(campaigns[places[0]].ID), 1, probeLife)
	answers := s.runAll(ctx, s.look, calls)
	for i, at := range places {
		found[at] = health(answers[i])
		if err := probe.Err(); err != nil {
			found[at] = coupon.Health{State: coupon.Unreachable, Why: "it takes no writes: " + err.Error()}
		}
	}
}

func lookCall(c *coupon.Campaign) call {
	k := keysOf(c.ID, c.Epoch)
	return call{[]string{k.meta, k.users, k.count, k.serials, k.pending}, []any{c.Epoch, c.Lo, c.Base, c.Seal}}
}

func health(answer *redis.Cmd) coupon.Health {
	reply, err := answer.StringSlice()
	if err != nil {
		return coupon.Health{State: coupon.Unreachable, Why: err.Error()}
	}
	if len(reply) != 2 {
		return coupon.Health{State: coupon.Unreachable, Why: fmt.Sprintf("unexpected reply %q", reply)}
	}
	return coupon.Health{State: findings[reply[0]], Why: reply[1]}
}
