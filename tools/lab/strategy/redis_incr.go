package strategy

import "context"

var redisIncrSpec = Spec{
	Name: "redis-incr",
	What: "INCR in Redis; who is told a number up to the limit gets a row.",
	When: `A rough limit of something that nobody counts afterwards, such as how often a banner is shown. It holds the limit and is fast; it
knows no users, so a double click is two, and what dies between Redis and the row is a place that nobody has.`,
	New: func(w *World) Strategy { return &redisIncr{w} },
}

type redisIncr struct{ *World }

func (s *redisIncr) Grant(ctx context.Context, user string) (Outcome, error) {
	n, err := s.Redis.Incr(ctx, s.key("count")).Result()
	if err != nil {
		return "", err
	}
	if n > int64(s.Limit) {
		return SoldOut, nil
	}
	s.Halfway()
	return Granted, insertGrant(ctx, s.DB, user)
}
