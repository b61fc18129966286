package strategy

import "context"

var redisSetSpec = Spec{
	Name: "redis-set",
	What: "The set of members is the only check: SCARD below the limit, then SADD.",
	When: `Who was here already, where a few too many do no harm. Two that read the same SCARD are both in, every member stays in memory, and
a crash before the row leaves a member without one.`,
	New: func(w *World) Strategy { return &redisSet{w} },
}

type redisSet struct{ *World }

func (s *redisSet) Grant(ctx context.Context, user string) (Outcome, error) {
	members, err := s.Redis.SCard(ctx, s.key("users")).Result()
	if err != nil {
		return "", err
	}
	if members >= int64(s.Limit) {
		return s.late(ctx, user)
	}
	s.AfterRead()
	added, err := s.Redis.SAdd(ctx, s.key("users"), user).Result()
	if err != nil {
		return "", err
	}
	if added == 0 {
		return Replayed, nil
	}
	s.Halfway()
	return Granted, insertGrant(ctx, s.DB, user)
}
