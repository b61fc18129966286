package faults

import (
	"context"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/tools/chaos/world"
)

// passes are at which pass of a point a program dies: at most this many.
const (
	busyPasses = 60 // of a point that every apply or batch comes to
	rarePasses = 2  // of one that is seldom passed
)

// arms are the points in any order, each at some pass.
func (s *Scene) arms(points []failpoint.Point, most int) []world.Arm {
	arms := make([]world.Arm, len(points))
	for i, p := range points {
		arms[i] = world.Arm{Point: p, Pass: 1 + s.Random.IntN(most)}
	}
	s.Random.Shuffle(len(arms), func(i, j int) { arms[i], arms[j] = arms[j], arms[i] })
	return arms
}

// spread deals the arms out to the programs and waits until all have fired, or a while.
func spread(ctx context.Context, programs []*world.Program, arms []world.Arm) error {
	if err := deal(programs, arms); err != nil {
		return err
	}
	return awaitFired(ctx, programs)
}

// deal arms the programs, each with its share.
func deal(programs []*world.Program, arms []world.Arm) error {
	hands := make([][]world.Arm, len(programs))
	for i, a := range arms {
		hands[i%len(programs)] = append(hands[i%len(programs)], a)
	}
	for i, p := range programs {
		if len(hands[i]) == 0 {
			continue
		}
		if err := p.Arm(hands[i]...); err != nil {
			return err
		}
	}
	return nil
}

func awaitFired(ctx context.Context, programs []*world.Program) error {
	awaitFor(ctx, fireWithin, func() bool { return fired(programs) })
	return ctx.Err()
}

// awaitFor waits a while at most. What did not happen is missing in the table.
func awaitFor(ctx context.Context, patience time.Duration, holds func() bool) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = world.Await(bounded, "the points are passed", holds)
}

// passed reports whether each point has killed at least one of the programs, all of which were armed with it.
func passed(programs []*world.Program, points []failpoint.Point) bool {
	for _, point := range points {
		if !slices.ContainsFunc(programs, func(p *world.Program) bool { return !p.Armed(point) }) {
			return false
		}
	}
	return true
}

func fired(programs []*world.Program) bool {
	for _, p := range programs {
		if !p.Fired() {
			return false
		}
	}
	return true
}
