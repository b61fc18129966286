package strategy

import "context"

var redisIncrSaddSpec = Spec{
	Name: "redis-incr-sadd",
	What: "INCR for the limit and SADD for the user, as two commands.",
	When: `Not as two commands: every double click burns a place, and so does a crash between them. As one Lua script it is the start of the
pipeline, and what is left is the way from Redis to the row.`,
	New: func(w *World) Strategy { return &redisIncrSadd{w} },
}

type redisIncrSadd struct{ *World }

func (s *redisIncrSadd) Grant(ctx context.Context, user string) (Outcome, error) {
	n, err := s.Redis.Incr(ctx, s.key("count")).Result()
	if err != nil {
		return "", err
	}
	if n > int64(s.Limit) {
		return s.late(ctx, user)
	}
	s.Halfway()
	added, err := s.Redis.SAdd(ctx, s.key("users"), user).Result()
	if err != nil {
		return "", err
	}
	if added == 0 {
		return Replayed, nil // and the place that was just taken is nobody's
	}
	return Granted, insertGrant(ctx, s.DB, user)
}

// late is the answer when all are gone.
func (w *World) late(ctx context.Context, user string) (Outcome, error) {
	member, err := w.Redis.SIsMember(ctx, w.key("users"), user).Result()
	if member {
		return Replayed, err
	}
	return SoldOut, err
}
