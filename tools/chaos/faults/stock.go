package faults

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/seonchak/seonchak/tools/chaos/world"
)

func stockFaults() []Class {
	return []Class{
		{Name: "limit moves, redis restarts", Short: true, Lasts: 8 * time.Second, Fault: limitMoves},
		{Name: "limit raised after sold out", Lasts: 8 * time.Second, Fault: raiseSmall},
		{Name: "cancels with return, redis empty", Restock: true, Lasts: 8 * time.Second, Fault: cancelsAndLoss},
		{Name: "paused and resumed, redis restarts", Lasts: 8 * time.Second, Fault: pauseAndLoss},
		{Name: "redis lost again and again", Lasts: 15 * time.Second, Fault: lostAgain},
	}
}

// adjust asks for another limit; a refusal is as good, and so is no answer.
func (s *Scene) adjust(ctx context.Context, campaign string, delta int) {
	server := s.server()
	_, _, _ = world.Call(ctx, http.MethodPost, server.Admin+"/admin/v1/campaigns/"+campaign+"/limit-adjustments", "",
		map[string]any{"delta": delta, "reason": "chaos"}) // see above
}

// limitMoves raises and lowers the limit every 200 ms, with a restart of Redis in between.
func limitMoves(ctx context.Context, s *Scene) error {
	const moves, pause, most = 24, 200 * time.Millisecond, 50
	for i := range moves {
		delta := 1 + s.Random.IntN(most)
		if i%2 == 1 {
			delta = -delta
		}
		s.adjust(ctx, s.Main.ID, delta)
		if i == moves/2 {
			if err := redisKilled((*world.Redis).Restart)(ctx, s); err != nil {
				return err
			}
		}
		if err := world.Pause(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// raiseSmall gives the campaign that is sold out more, which those who come back must get.
func raiseSmall(ctx context.Context, s *Scene) error {
	const delta = 20
	status, answer, err := s.Operate(ctx, http.MethodPost, "/campaigns/"+s.Small.ID+"/limit-adjustments",
		map[string]any{"delta": delta, "reason": "chaos"})
	if err != nil {
		return err
	}
	if status != http.StatusCreated {
		return fmt.Errorf("raise the limit: %d: %s", status, answer)
	}
	return world.Pause(ctx, 6*time.Second)
}

// cancelSome lets holders of both campaigns cancel.
func (s *Scene) cancelSome(ctx context.Context, each int) {
	for _, d := range []*world.Drop{s.Main, s.Small} {
		holders := d.Holders()
		for range min(each, len(holders)) {
			holder := holders[s.Random.IntN(len(holders))]
			url := fmt.Sprintf("%s/v1/campaigns/%s/claims/%d/cancel", s.server().URL, d.ID, holder.N)
			_, _, _ = world.Call(ctx, http.MethodPost, url, holder.User, map[string]any{"reason": "chaos"}) // not issued yet, or unknown
		}
	}
}

func cancelsAndLoss(ctx context.Context, s *Scene) error {
	const rounds, each, pause = 10, 3, 200 * time.Millisecond
	for i := range rounds {
		s.cancelSome(ctx, each)
		if i == rounds/2 {
			if err := redisKilled((*world.Redis).RestartEmpty)(ctx, s); err != nil {
				return err
			}
		}
		if err := world.Pause(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// pauseAndLoss pauses the campaign, loses Redis, and resumes it. Users who hold nothing are told so meanwhile.
func pauseAndLoss(ctx context.Context, s *Scene) error {
	if _, _, err := s.Operate(ctx, http.MethodPost, "/campaigns/"+s.Main.ID+"/pause", nil); err != nil {
		return err
	}
	if err := redisKilled((*world.Redis).RestartEmpty)(ctx, s); err != nil {
		return err
	}
	_, _, err := s.Operate(ctx, http.MethodPost, "/campaigns/"+s.Main.ID+"/resume", nil)
	return err
}

func lostAgain(ctx context.Context, s *Scene) error {
	const times = 5
	for range times {
		if err := s.Redis.Client().FlushAll(ctx).Err(); err != nil {
			return err
		}
		if err := world.Pause(ctx, s.between(500*time.Millisecond, short)); err != nil {
			return err
		}
	}
	return nil
}
