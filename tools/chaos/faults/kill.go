package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/tools/chaos/world"
)

// Crash points by what brings a program to them.
var (
	applyPoints = []failpoint.Point{
		failpoint.RequestRead, failpoint.ScriptSent, failpoint.ScriptReplied, failpoint.ProduceSent, failpoint.AckRead,
		failpoint.Confirmed, failpoint.Answered,
	}
	issuePoints  = []failpoint.Point{failpoint.Fetched, failpoint.InsertSent, failpoint.CommitSent, failpoint.Committed}
	sweepPoints  = []failpoint.Point{failpoint.SweepRead, failpoint.SweepPublished}
	outboxPoints = append([]failpoint.Point{failpoint.DirectSent}, sweepPoints...)
	retryPoints  = []failpoint.Point{failpoint.RetryClaimed, failpoint.RetryApplied}
	fencePoints  = []failpoint.Point{
		failpoint.FenceBegun, failpoint.FenceSwept, failpoint.BarrierMade, failpoint.LogDrained, failpoint.EpochClosed,
		failpoint.EpochLoaded, failpoint.EpochActive, failpoint.EpochUnlocked,
	}
	lowerPoints  = []failpoint.Point{failpoint.LoweringWished, failpoint.LoweringTaken}
	cancelPoints = []failpoint.Point{failpoint.CancelSent, failpoint.CancelUnpushed}
)

// Points are all crash points.
func Points() []failpoint.Point {
	return slices.Concat(applyPoints, outboxPoints, issuePoints, retryPoints, lowerPoints, cancelPoints, fencePoints)
}

const fireWithin = 40 * time.Second // a point that nobody passed for so long is not waited for

func kills() []Class {
	classes := []Class{
		{Name: "kill retry at points", Short: true, Lasts: 35 * time.Second, Points: retryPoints, Fault: killRetry},
		{Name: "kill fence at points", Short: true, Lasts: 60 * time.Second, Points: fencePoints, Fault: killFence},
		{Name: "kill api-server at points", Short: true, Lasts: 10 * time.Second, Points: applyPoints, Fault: killServersAtPoints},
		{Name: "kill consumer at points", Short: true, Lasts: 15 * time.Second, Points: issuePoints, Fault: killConsumersAtPoints},
		{Name: "kill at the outbox", Short: true, Lasts: 25 * time.Second, Points: outboxPoints, Fault: killAtOutbox},
		{Name: "kill stock moves at points", Short: true, Restock: true, Lasts: 20 * time.Second, Points: slices.Concat(lowerPoints, cancelPoints), Fault: killStockMoves},
		{Name: "kill api-servers", Lasts: 8 * time.Second, Fault: killing(func(s *Scene) []*world.Program { return s.Servers })},
		{Name: "kill consumers", Lasts: 8 * time.Second, Fault: killing(func(s *Scene) []*world.Program { return s.Consumers })},
		{Name: "kill batch", Lasts: 8 * time.Second, Fault: killing(func(s *Scene) []*world.Program { return s.Jobs })},
		{Name: "kill anything", Short: true, Lasts: 8 * time.Second, Fault: killing(func(s *Scene) []*world.Program { return s.Programs() })},
		{Name: "kill everything at once", Lasts: 4 * time.Second, Fault: killEverything},
	}
	for i := range classes {
		classes[i].Kills = true
	}
	return classes
}

func killServersAtPoints(ctx context.Context, s *Scene) error {
	return spread(ctx, s.Servers, s.arms(applyPoints, busyPasses))
}

func killConsumersAtPoints(ctx context.Context, s *Scene) error {
	return spread(ctx, s.Consumers, s.arms(issuePoints, rarePasses+1))
}

// killAtOutbox takes the log away, so that grants are issued directly, and kills who does that. Then it takes the database
// away too: what is granted until the api-servers notice stays pending, and who sweeps it is killed. Nobody knows who that
// will be, so whoever sweeps is armed, and it goes on until both points have killed, or for a while.
func killAtOutbox(ctx context.Context, s *Scene) error {
	log, database := s.Link(world.APISide, world.KafkaStore), s.Link(world.APISide, world.MySQLStore)
	if err := log.Break(world.Cut); err != nil {
		return err
	}
	directs := slices.Repeat([]failpoint.Point{failpoint.DirectSent}, len(s.Servers)) // one each
	if err := spread(ctx, s.Servers, s.arms(directs, rarePasses)); err != nil {
		return err
	}
	if err := log.Mend(ctx); err != nil {
		return err
	}
	sweepers := append([]*world.Program{s.Job("sweep")}, s.Servers...)
	for _, sweeper := range sweepers {
		if err := sweeper.Arm(s.arms(sweepPoints, 1)...); err != nil {
			return err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, fireWithin)
	defer cancel()
	allPassed := func() bool { return passed(sweepers, sweepPoints) }
	for !allPassed() && bounded.Err() == nil {
		if err := s.strand(bounded, log, database); err != nil {
			return errors.Join(log.Mend(ctx), database.Mend(ctx)) // what did not fire is missing in the table
		}
		awaitFor(bounded, swept, allPassed)
	}
	return ctx.Err()
}

// swept is when a claim that was left pending has been swept, as a rule, also if its first sweeper was killed.
const swept = 7 * time.Second

// strand leaves claims pending: in the middle of granting the log and the database go away, and both come back.
func (s *Scene) strand(ctx context.Context, links ...*world.Link) error {
	began := time.Now()
	granting := func() bool { return !s.Main.FirstGrantAfter(began).IsZero() }
	if err := world.Await(ctx, "claims are granted", granting); err != nil {
		return err
	}
	for _, l := range links {
		if err := l.Break(world.Cut); err != nil {
			return err
		}
	}
	const dark = 3 * time.Second
	if err := world.Pause(ctx, dark); err != nil {
		return err
	}
	for _, l := range links {
		if err := l.Mend(ctx); err != nil {
			return err
		}
	}
	return nil
}

// killRetry makes failed events, by holding a campaign's row for longer than the consumers are patient, and kills those who
// retry them.
func killRetry(ctx context.Context, s *Scene) error {
	const patience = 100 * time.Second
	release, err := s.lockCampaign(ctx, s.Main.ID)
	if err != nil {
		return err
	}
	defer release()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = world.Await(bounded, "there are failed events", func() bool {
		n, err := s.Failures(ctx, s.Main.ID)
		return err == nil && n > 0
	})
	if err != nil {
		return err
	}
	retry := s.Job("retry-failed")
	release()
	// In this order: whoever dies at the second leaves everything leased for a minute.
	for _, point := range []failpoint.Point{failpoint.RetryApplied, failpoint.RetryClaimed} {
		if err := spread(ctx, []*world.Program{retry}, []world.Arm{{Point: point, Pass: 1}}); err != nil {
			return err
		}
	}
	return nil
}

// killFence asks for one fence after the other and kills the consumers at every step of them. Who takes a fence over from the
// dead dies at its next step.
func killFence(ctx context.Context, s *Scene) error {
	for _, consumer := range s.Consumers {
		if err := consumer.Arm(s.arms(fencePoints, 1)...); err != nil {
			return err
		}
	}
	const patience = 200 * time.Second
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !passed(s.Consumers, fencePoints) && bounded.Err() == nil {
		s.askFence(bounded, s.Main.ID)
		_ = world.Pause(bounded, time.Second) // its end is seen above
	}
	return ctx.Err()
}

// askFence asks for a fence; one that is under way is as good.
func (s *Scene) askFence(ctx context.Context, campaign string) {
	server := s.server()
	_, _, _ = world.Call(ctx, http.MethodPost, server.Admin+"/admin/v1/campaigns/"+campaign+"/rebuild", "", nil) // asked again
}

// killStockMoves lowers first and cancels after that: a place that came back a moment before could be taken away without
// Redis.
func killStockMoves(ctx context.Context, s *Scene) error {
	err := killWhile(ctx, s, lowerPoints, func(ctx context.Context) { s.adjust(ctx, s.Main.ID, -1) })
	if err != nil {
		return err
	}
	return killWhile(ctx, s, cancelPoints, func(ctx context.Context) { s.cancelSome(ctx, 1) })
}

// killWhile kills the api-servers at the points while something is done again and again.
func killWhile(ctx context.Context, s *Scene, points []failpoint.Point, work func(context.Context)) error {
	bounded, cancel := context.WithTimeout(ctx, fireWithin)
	defer cancel()
	if err := deal(s.Servers, s.arms(points, rarePasses)); err != nil {
		return err
	}
	for !fired(s.Servers) && bounded.Err() == nil {
		work(bounded)
		_ = world.Pause(bounded, 50*time.Millisecond) // its end is seen above
	}
	return ctx.Err()
}

// killing kills one of the programs now and then.
func killing(choose func(*Scene) []*world.Program) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		const times = 20
		programs := choose(s)
		for range times {
			if err := programs[s.Random.IntN(len(programs))].Kill(); err != nil {
				return fmt.Errorf("kill: %w", err)
			}
			if err := world.Pause(ctx, s.between(100*time.Millisecond, 700*time.Millisecond)); err != nil {
				return err
			}
		}
		return nil
	}
}

func killEverything(ctx context.Context, s *Scene) error {
	for _, p := range s.Programs() {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	return world.Pause(ctx, time.Second)
}
