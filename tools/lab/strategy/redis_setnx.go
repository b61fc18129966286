package strategy

import "context"

var redisSetnxSpec = Spec{
	Name: "redis-setnx", Counts: true,
	What: "SET NX event:user with a TTL lets one request of a user in; it then checks the count and inserts.",
	When: `Against double clicks in front of something that is exact by itself. It guards the user and not the limit, for as long as the TTL
and for as long as Redis remembers; after a crash the user is told that he has applied, and has nothing.`,
	New: func(w *World) Strategy { return &redisSetnx{w, &naive{w}} },
}

type redisSetnx struct {
	*World
	reward *naive
}

func (s *redisSetnx) Grant(ctx context.Context, user string) (Outcome, error) {
	guard := s.key("event:" + user)
	first, err := s.Redis.SetNX(ctx, guard, 1, s.Lease).Result()
	if err != nil {
		return "", err
	}
	if !first {
		return Refused, nil
	}
	s.Halfway()
	outcome, err := s.reward.Grant(ctx, user)
	if outcome == SoldOut {
		s.Redis.Del(ctx, guard) // there is nothing to guard; if this fails the TTL does it
	}
	return outcome, err
}

func (s *redisSetnx) Cancel(ctx context.Context, user string) error {
	if err := s.reward.Cancel(ctx, user); err != nil {
		return err
	}
	return s.Redis.Del(ctx, s.key("event:"+user)).Err()
}
