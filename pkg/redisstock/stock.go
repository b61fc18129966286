// Package redisstock decides in Redis who is in time: the claim script, its keys, and what keeps them true to MySQL.
package redisstock

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The scripts are embedded by hand rather than as a folder, so that a missing one does not compile.
var (
	//go:embed ask.lua
	askSource string
	//go:embed claim.lua
	claimSource string
	//go:embed held.lua
	heldSource string
	//go:embed forget.lua
	forgetSource string
	//go:embed take.lua
	takeSource string
	//go:embed prepare.lua
	prepareSource string
	//go:embed open.lua
	openSource string
	//go:embed push.lua
	pushSource string
	//go:embed fence.lua
	fenceSource string
	//go:embed load.lua
	loadSource string
	//go:embed look.lua
	lookSource string
	//go:embed holders.lua
	holdersSource string
)

// maxBatch is the most members one script call takes: Lua unpacks twice as many values, and its stack ends near 8000.
const maxBatch = 1000

// Stock is the claim state of all campaigns in one Redis, or one Redis Cluster. It is safe for concurrent use.
//
// Every method answers a Redis that did not answer with a coupon.CodeUnavailable error: what was asked may have happened
// or not, and is safe to ask again.
type Stock struct {
	client redis.UniversalClient

	claim, held, forget, take, prepare, load, open, push, fence, look, holders, owner *redis.Script
}

// New returns the claim state behind client. The client must not retry by itself (NewClient): a repeat is safe, but it
// would hide from the caller that the time is up.
func New(client redis.UniversalClient) *Stock {
	script := func(source string) *redis.Script { return redis.NewScript(askSource + source) }
	return &Stock{
		client:  client,
		claim:   script(claimSource),
		held:    script(heldSource),
		forget:  script(forgetSource),
		take:    script(takeSource),
		prepare: script(prepareSource),
		open:    script(openSource),
		push:    script(pushSource),
		fence:   script(fenceSource),
		load:    script(loadSource),
		look:    script(lookSource),
		holders: script(holdersSource),
		owner:   script("return replication_id()"),
	}
}

// run calls a script that answers with a list. EVALSHA falls back to EVAL on NOSCRIPT only, which is the answer of a
// Redis that ran nothing.
func (s *Stock) run(ctx context.Context, what string, script *redis.Script, keys []string, args []any) ([]any, error) {
	reply, err := script.Run(ctx, s.client, keys, args...).Slice()
	if err != nil {
		return nil, coupon.Unavailable(what, err)
	}
	return reply, nil
}

// call is one call of a script.
type call struct {
	keys []string
	args []any
}

// runAll calls a script once for each of calls, in their order and in one round trip. Each answer carries its own error; that
// of a call without keys, which is not made, is nil.
func (s *Stock) runAll(ctx context.Context, script *redis.Script, calls []call) []*redis.Cmd {
	answers := make([]*redis.Cmd, len(calls))
	_, _ = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, c := range calls {
			if len(c.keys) > 0 {
				answers[i] = script.EvalSha(ctx, pipe, c.keys, c.args...)
			}
		}
		return nil
	})
	s.runForgotten(ctx, script, calls, answers)
	return answers
}

// runForgotten repeats the calls of a script that Redis had forgotten, and so did not run, with its source: a pipeline does
// not do that by itself.
func (s *Stock) runForgotten(ctx context.Context, script *redis.Script, calls []call, answers []*redis.Cmd) {
	_, _ = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, c := range calls {
			if answers[i] != nil && redis.HasErrorPrefix(answers[i].Err(), "NOSCRIPT") {
				answers[i] = script.Eval(ctx, pipe, c.keys, c.args...)
			}
		}
		return nil
	})
}

func badReply(what string, reply any) error {
	return coupon.Unavailable(what, fmt.Errorf("unexpected reply %v", reply))
}
