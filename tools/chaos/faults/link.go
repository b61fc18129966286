package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/tools/chaos/world"
)

// linkFaults are every trouble on every link.
func linkFaults() (classes []Class) {
	const stays = 4 * time.Second
	for _, store := range world.StoresThere {
		for _, side := range world.Sides {
			for _, trouble := range world.Troubles {
				classes = append(classes, Class{
					Name:  fmt.Sprintf("link %s-%s %s", side, store, trouble),
					Short: side == world.APISide && trouble == world.HalfOpen, // one a store
					Lasts: stays + 2*time.Second,
					Fault: onLink(side, store, trouble, stays),
				})
			}
		}
	}
	return classes
}

func onLink(side world.Side, store world.Store, trouble world.Trouble, stays time.Duration) func(context.Context, *Scene) error {
	return window(stays,
		func(_ context.Context, s *Scene) error { return s.Link(side, store).Break(trouble) },
		func(ctx context.Context, s *Scene) error { return s.Link(side, store).Mend(ctx) })
}

// pauses freeze programs: they come back with an old view of the world.
func pauses() []Class {
	return []Class{
		{Name: "SIGSTOP of an api-server", Lasts: 7 * time.Second, Fault: freeze((*Scene).server, nil)},
		{Name: "SIGSTOP of a consumer", Lasts: 7 * time.Second, Fault: freeze((*Scene).consumer, nil)},
		{Name: "SIGSTOP of an api-server over a fence", Lasts: 10 * time.Second, Fault: freeze((*Scene).server, fenceBoth)},
		{Name: "SIGSTOP of a consumer over a fence", Lasts: 10 * time.Second, Fault: freeze((*Scene).consumer, fenceBoth)},
	}
}

func freeze(choose func(*Scene) *world.Program, meanwhile func(context.Context, *Scene)) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		victim := choose(s)
		if err := victim.Freeze(); err != nil {
			return err
		}
		if meanwhile != nil {
			meanwhile(ctx, s)
		}
		paused := world.Pause(ctx, 5*time.Second)
		if err := victim.Thaw(); err != nil {
			return err
		}
		return paused
	}
}

// fenceBoth loses both campaigns in Redis, so that they are fenced while somebody does not look.
func fenceBoth(ctx context.Context, s *Scene) {
	_ = s.Redis.Client().FlushAll(ctx).Err() // if it fails there is no fence, and nothing worse
}

// clocks set the clock of one program wrong for a while. Nothing may hang on it.
func clocks() (classes []Class) {
	for _, kind := range []string{"api-server", "consumer"} {
		for _, shift := range []string{"+1h", "-1h"} {
			classes = append(classes, Class{
				Name: fmt.Sprintf("clock of one %s %s", kind, shift), Lasts: 8 * time.Second, Needs: ClockedPrograms,
				Fault: clock(kind, shift),
			})
		}
	}
	return classes
}

func clock(kind, shift string) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		victim := s.Servers[0]
		if kind == "consumer" {
			victim = s.Consumers[0]
		}
		if err := victim.Setting("SEONCHAK_CLOCK=" + shift); err != nil {
			return err
		}
		paused := world.Pause(ctx, 6*time.Second)
		if err := victim.Setting(); err != nil {
			return err
		}
		return paused
	}
}
