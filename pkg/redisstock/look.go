package redisstock

import (
	"context"
	"fmt"
	"slices"

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

// Look judges the claim state of each campaign against what the record says of it (Epoch, Lo, Base and Seal), in the order
// given. It never fails: of a Redis that did not answer, nothing is known and the state is Unreachable.
func (s *Stock) Look(ctx context.Context, campaigns []*coupon.Campaign) []coupon.Health {
	found := make([]coupon.Health, 0, len(campaigns))
	for page := range slices.Chunk(campaigns, lookPage) {
		found = append(found, s.lookAt(ctx, page)...)
	}
	return found
}

// lookAt asks again with the source where Redis has forgotten its scripts: a pipeline does not do that by itself.
func (s *Stock) lookAt(ctx context.Context, page []*coupon.Campaign) []coupon.Health {
	answers := make([]*redis.Cmd, len(page))
	_, _ = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each command carries its own error
		for i, c := range page {
			keys, args := lookArgs(c)
			answers[i] = s.look.EvalSha(ctx, pipe, keys, args...)
		}
		return nil
	})
	_, _ = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, c := range page {
			if redis.HasErrorPrefix(answers[i].Err(), "NOSCRIPT") {
				keys, args := lookArgs(c)
				answers[i] = s.look.Eval(ctx, pipe, keys, args...)
			}
		}
		return nil
	})
	found := make([]coupon.Health, len(page))
	for i, answer := range answers {
		found[i] = health(answer)
	}
	return found
}

func lookArgs(c *coupon.Campaign) (keys []string, args []any) {
	k := keysOf(c.ID, c.Epoch)
	return []string{k.meta, k.users, k.count, k.serials, k.pending}, []any{c.Epoch, c.Lo, c.Base, c.Seal}
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
