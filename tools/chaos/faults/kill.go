package faults

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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
	outboxPoints = []failpoint.Point{failpoint.DirectSent, failpoint.SweepRead, failpoint.SweepPublished}
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
		{
			Name: "kill api-server, retry, fence at points", Short: true, Lasts: time.Minute,
			Points: slices.Concat(applyPoints, retryPoints, fencePoints), Fault: killServersRetryFence,
		},
		{Name: "kill consumer at points", Short: true, Lasts: 15 * time.Second, Points: issuePoints, Fault: killConsumersAtPoints},
		{Name: "kill at the outbox", Short: true, Lasts: 15 * time.Second, Points: outboxPoints, Fault: killAtOutbox},
		{Name: "kill fence at points", Lasts: 25 * time.Second, Points: fencePoints, Fault: killFence},
		{Name: "kill stock moves at points", Short: true, Restock: true, Lasts: 20 * time.Second, Points: slices.Concat(lowerPoints, cancelPoints), Fault: killStockMoves},
		{Name: "kill api-server at points", Lasts: 10 * time.Second, Points: applyPoints, Fault: killServersAtPoints},
		{Name: "kill retry at points", Lasts: 35 * time.Second, Points: retryPoints, Fault: killRetry},
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

// killAtOutbox takes the log away, so that grants are issued directly, and kills who does that. With the log back it kills the
// api-servers between a grant and its publishing, and then whoever sweeps what they left pending.
func killAtOutbox(ctx context.Context, s *Scene) error {
	link := s.Link(world.APISide, world.KafkaStore)
	if err := link.Break(world.Cut); err != nil {
		return err
	}
	const dark = 8 * time.Second
	for _, server := range s.Servers {
		if err := server.Arm(s.arms([]failpoint.Point{failpoint.DirectSent}, rarePasses)...); err != nil {
			return err
		}
	}
	if err := world.Pause(ctx, dark); err != nil {
		return err
	}
	if err := link.Mend(ctx); err != nil {
		return err
	}
	for i, sweep := range []failpoint.Point{failpoint.SweepRead, failpoint.SweepPublished} {
		granted := s.arms([]failpoint.Point{failpoint.ScriptReplied}, rarePasses)[0]
		if err := s.Servers[i].Arm(granted, world.Arm{Point: sweep, Pass: 1}); err != nil {
			return err
		}
	}
	return awaitFired(ctx, s.Servers)
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
	// In this order: whoever dies at the second leaves everything leased for a minute.
	if err := retry.Arm(world.Arm{Point: failpoint.RetryApplied, Pass: 1}, world.Arm{Point: failpoint.RetryClaimed, Pass: 1}); err != nil {
		return err
	}
	release()
	return awaitFired(ctx, []*world.Program{retry})
}

// killFence asks for one fence after the other and kills the consumers at every step of them.
func killFence(ctx context.Context, s *Scene) error {
	if err := deal(s.Consumers, s.arms(fencePoints, 1)); err != nil {
		return err
	}
	const patience = 200 * time.Second
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !fired(s.Consumers) && bounded.Err() == nil {
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

// killServersRetryFence kills the api-servers while failed events come about, then who retries them, and then, while the
// leases of the dead run out, whoever fences.
func killServersRetryFence(ctx context.Context, s *Scene) error {
	group, bounded := errgroup.WithContext(ctx)
	arms := s.arms(applyPoints, busyPasses)
	group.Go(func() error { return spread(bounded, s.Servers, arms) })
	group.Go(func() error { return killRetry(bounded, s) })
	if err := group.Wait(); err != nil {
		return err
	}
	return killFence(ctx, s)
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
		const times = 8
		programs := choose(s)
		for range times {
			if err := programs[s.Random.IntN(len(programs))].Kill(); err != nil {
				return fmt.Errorf("kill: %w", err)
			}
			if err := world.Pause(ctx, s.between(300*time.Millisecond, 1500*time.Millisecond)); err != nil {
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
