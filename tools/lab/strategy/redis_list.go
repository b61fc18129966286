package strategy

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	redisListSpec = Spec{
		Name: "redis-list", Unique: true, Counts: true,
		What: "LPUSH into a list; one worker takes with BRPOP and decides one after the other.",
		When: `Work that may be late and may, now and then, not be done: what the worker had in its hands when it died is gone. Order and
exactness come from there being one worker, and so does the speed.`,
		New: func(w *World) Strategy { return &redisList{World: w} },
	}
	redisListReliableSpec = Spec{
		Name: "redis-list-reliable", Unique: true, Counts: true,
		What: "The same with BLMOVE into a list of what is in hand, which the worker puts back when it starts.",
		When: `A small queue where there is Redis and nothing else. It does things again after a crash, so the unique key is needed; and what
Redis itself forgets is gone all the same.`,
		New: func(w *World) Strategy { return &redisList{World: w, reliable: true} },
	}
)

const (
	longestQueue = time.Second // after that the user is told to come back
	answerTTL    = time.Minute
)

type redisList struct {
	*World
	reliable bool
}

// Grant queues the user and waits for the worker's answer.
func (s *redisList) Grant(ctx context.Context, user string) (Outcome, error) {
	request := rand.Text()
	if err := s.Redis.LPush(ctx, s.key("queue"), request+" "+user).Err(); err != nil {
		return "", err
	}
	answer, err := s.Redis.BLPop(ctx, longestQueue, s.key("answer:"+request)).Result()
	if errors.Is(err, redis.Nil) {
		return Queued, nil
	}
	if err != nil {
		return "", err
	}
	return Outcome(answer[1]), nil
}

// Work decides in one instance only: two workers would keep neither the order nor, without the unique key, the limit.
func (s *redisList) Work(ctx context.Context) error {
	if !s.First {
		return nil
	}
	if err := s.putBack(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		request, err := s.take(ctx)
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return err
		}
		s.Halfway()
		if err := s.decide(ctx, request); err != nil {
			return err
		}
	}
	return nil
}

func (s *redisList) take(ctx context.Context) (string, error) {
	if s.reliable {
		return s.Redis.BLMove(ctx, s.key("queue"), s.key("hand"), "RIGHT", "LEFT", longestQueue).Result()
	}
	taken, err := s.Redis.BRPop(ctx, longestQueue, s.key("queue")).Result()
	if err != nil {
		return "", err
	}
	return taken[1], nil
}

// putBack lets what a former life had in hand be decided first.
func (s *redisList) putBack(ctx context.Context) error {
	for {
		err := s.Redis.LMove(ctx, s.key("hand"), s.key("queue"), "LEFT", "RIGHT").Err()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// decide is idempotent: what is decided again has its row already.
func (s *redisList) decide(ctx context.Context, request string) error {
	id, user, _ := strings.Cut(request, " ")
	outcome, err := s.takePlace(ctx, user, nil)
	if err != nil {
		return err
	}
	_, err = s.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, s.key(Decided), user, string(outcome))
		p.LPush(ctx, s.key("answer:"+id), string(outcome))
		p.Expire(ctx, s.key("answer:"+id), answerTTL)
		if s.reliable {
			p.LRem(ctx, s.key("hand"), 1, request)
		}
		return nil
	})
	return err
}

// Decided names the hash of the users whose turn came, after the name of the trial and a colon.
const Decided = "decided"

// Backlog counts what nobody has taken: what was in the hands of the dead is in no list.
func (s *redisList) Backlog(ctx context.Context) (int64, error) {
	queued, err := s.Redis.LLen(ctx, s.key("queue")).Result()
	if err != nil {
		return 0, err
	}
	inHand, err := s.Redis.LLen(ctx, s.key("hand")).Result()
	return queued + inHand, err
}
