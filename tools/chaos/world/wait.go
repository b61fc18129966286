package world

import (
	"context"
	"fmt"
	"time"
)

// Pause waits, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Await looks every 50 ms until the condition holds or ctx ends.
func Await(ctx context.Context, what string, holds func() bool) error {
	const poll = 50 * time.Millisecond
	for !holds() {
		if err := Pause(ctx, poll); err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
	}
	return nil
}
