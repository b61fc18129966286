// Package redisstock decides in Redis who is in time: the claim script, its keys, and what keeps them true to MySQL.
package redisstock

import (
	"context"
	_ "embed"
	"fmt"
	"sync"

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

// runAll calls a script once for each of calls, in one round trip to each master that has keys of theirs, there in their
// order. What one master does, or does not, says nothing about the calls of another. Each answer carries its own error; that
// of a call without keys, which is not made, is nil.
func (s *Stock) runAll(ctx context.Context, script *redis.Script, calls []call) []*redis.Cmd {
	answers := make([]*redis.Cmd, len(calls))
	parts := s.byMaster(ctx, len(calls), func(i int) string {
		if len(calls[i].keys) == 0 {
			return ""
		}
		return calls[i].keys[0]
	})
	var others sync.WaitGroup
	for master, places := range parts {
		run := func() { runOn(ctx, master, script, calls, places, answers) }
		if len(parts) == 1 {
			run()
			break
		}
		others.Go(run)
	}
	others.Wait()
	if gone := moved(answers); len(gone) > 0 {
		runOn(ctx, s.client, script, calls, gone, answers) // which follows them
	}
	return answers
}

// runOn makes the calls at some places on the server that has their keys. A script that it had forgotten, and so did not run,
// is sent again as source: a pipeline does not do that by itself.
func runOn(ctx context.Context, server redis.UniversalClient, script *redis.Script, calls []call, places []int, answers []*redis.Cmd) {
	_, _ = server.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, i := range places {
			answers[i] = script.EvalSha(ctx, pipe, calls[i].keys, calls[i].args...)
		}
		return nil
	})
	_, _ = server.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, i := range places {
			if redis.HasErrorPrefix(answers[i].Err(), "NOSCRIPT") {
				answers[i] = script.Eval(ctx, pipe, calls[i].keys, calls[i].args...)
			}
		}
		return nil
	})
}

// moved returns the places of the calls whose slots are, or are going, elsewhere.
func moved(answers []*redis.Cmd) (places []int) {
	for i, answer := range answers {
		if answer != nil && (redis.HasErrorPrefix(answer.Err(), "MOVED ") || redis.HasErrorPrefix(answer.Err(), "ASK ")) {
			places = append(places, i)
		}
	}
	return places
}

// byMaster parts n places by the server that has the key of each, as far as that is known. A place without a key is left out.
//
// A pipeline over a whole cluster would not do: go-redis repeats parts of it, and a node that does not answer takes the
// answers of the others with it.
func (s *Stock) byMaster(ctx context.Context, n int, key func(i int) string) map[redis.UniversalClient][]int {
	parts := make(map[redis.UniversalClient][]int, 1)
	cluster, known := s.client.(*redis.ClusterClient)
	for i := range n {
		k := key(i)
		if k == "" {
			continue
		}
		server := s.client
		if known {
			master, err := cluster.MasterForKey(ctx, k)
			if known = err == nil; known {
				server = master
			}
		}
		parts[server] = append(parts[server], i)
	}
	return parts
}

func badReply(what string, reply any) error {
	return coupon.Unavailable(what, fmt.Errorf("unexpected reply %v", reply))
}
