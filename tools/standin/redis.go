package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// redisTick is how late a key may expire. miniredis does not expire keys by itself, and every tick looks at
// all of them: 2 ms at 10,000 keys, 0.7 s at a million.
const redisTick = 500 * time.Millisecond

// serveRedis serves until ctx ends. Nothing outlives it. INFO, CONFIG and FUNCTION are not there, and Lua has
// neither cmsgpack nor bit.
func serveRedis(ctx context.Context, addr string, serving func(address string)) error {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(addr); err != nil {
		return fmt.Errorf("serve redis: %w", err)
	}
	defer server.Close()
	serving(server.Addr())

	last, pause := time.Now(), redisTick
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		now := time.Now()
		server.FastForward(now.Sub(last))
		last = now
		// With very many keys the ticks come less often, to cost one twentieth of the time at most.
		pause = max(redisTick, 20*time.Since(now))
	}
}
