package faults

import (
	"context"
	"errors"
	"time"

	"github.com/seonchak/seonchak/tools/chaos/world"
)

const short = 3 * time.Second

func redisFaults() []Class {
	classes := []Class{
		{Name: "redis killed, AOF kept", Short: true, Lasts: 8 * time.Second, Fault: redisKilled((*world.Redis).Restart)},
		{Name: "redis killed, back empty", Short: true, Lasts: 8 * time.Second, Fault: redisKilled((*world.Redis).RestartEmpty)},
		{Name: "redis FLUSHALL", Lasts: 6 * time.Second, Fault: redisDo("FLUSHALL")},
		{Name: "redis SCRIPT FLUSH", Lasts: short, Fault: redisDo("SCRIPT", "FLUSH")},
		{Name: "redis stale replica promoted", Short: true, Lasts: 8 * time.Second, Prepare: attach, Fault: promoteStale, Restore: detach},
		{Name: "redis replica promoted", Lasts: 8 * time.Second, Prepare: attach, Fault: promote, Restore: detach},
		{Name: "redis split brain", Lasts: 8 * time.Second, Prepare: attach, Fault: splitBrain, Restore: detach},
		{Name: "redis first replica attached", Lasts: 8 * time.Second, Fault: attachLate, Restore: detach},
		{
			Name: "redis SIGSTOP 3 s", Lasts: 6 * time.Second,
			Fault: window(short, func(_ context.Context, s *Scene) error { return s.Redis.Freeze() }, func(_ context.Context, s *Scene) error { return s.Redis.Thaw() }),
		},
		{
			Name: "redis away for consumers 8 s", Short: true, Lasts: 12 * time.Second, // the warden gives up what the api-servers still use
			Fault: onLink(world.ConsumerSide, world.RedisStore, world.Cut, 8*time.Second),
		},
		{Name: "redis away 8 s", Short: true, Lasts: 12 * time.Second, Fault: redisAway},
	}
	for _, key := range []string{"meta", "users", "count", "serials", "pending"} {
		classes = append(classes, Class{Name: "redis key deleted: " + key, Lasts: 6 * time.Second, Fault: deleteKey(key)})
	}
	return classes
}

func redisKilled(back func(*world.Redis, context.Context) error) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		if err := s.Redis.Kill(); err != nil {
			return err
		}
		if err := world.Pause(ctx, s.between(50*time.Millisecond, short)); err != nil {
			return err
		}
		return back(s.Redis, ctx)
	}
}

func redisDo(command ...any) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error { return s.Redis.Client().Do(ctx, command...).Err() }
}

// deleteKey takes one key of the running epoch of both campaigns away. There may be no pending one.
func deleteKey(kind string) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		keys, err := s.Redis.Client().Keys(ctx, "coupon:*"+kind).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		return s.Redis.Client().Del(ctx, keys...).Err()
	}
}

// redisAway is long enough for the campaigns to be taken over by the database, and for some drop in that mode.
func redisAway(ctx context.Context, s *Scene) error {
	if err := s.Redis.Kill(); err != nil {
		return err
	}
	const away = 8 * time.Second
	if err := world.Pause(ctx, away); err != nil {
		return err
	}
	return s.Redis.Restart(ctx)
}

func attach(ctx context.Context, w *world.World) error { return w.Redis.Attach(ctx) }

func detach(_ context.Context, w *world.World) error { return w.Redis.Detach() }

func attachLate(ctx context.Context, s *Scene) error { return s.Redis.Attach(ctx) }

// promote lets a replica take over that has everything.
func promote(ctx context.Context, s *Scene) error {
	address, err := s.Redis.Promote(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.PointRedis(ctx, address), s.Redis.Succeed())
}

// promoteStale lets a replica take over that was cut off a while ago, so what was granted meanwhile is unknown to it.
func promoteStale(ctx context.Context, s *Scene) error {
	if err := s.Redis.CutReplica(); err != nil {
		return err
	}
	if err := world.Pause(ctx, s.between(500*time.Millisecond, short)); err != nil {
		return err
	}
	return promote(ctx, s)
}

// splitBrain lets a side ask the stale replica while the other still asks the old primary.
func splitBrain(ctx context.Context, s *Scene) error {
	if err := s.Redis.CutReplica(); err != nil {
		return err
	}
	address, err := s.Redis.Promote(ctx)
	if err != nil {
		return err
	}
	if err := s.Link(world.APISide, world.RedisStore).Point(ctx, address); err != nil {
		return err
	}
	if err := world.Pause(ctx, s.between(time.Second, short)); err != nil {
		return err
	}
	return errors.Join(s.PointRedis(ctx, address), s.Redis.Succeed())
}
