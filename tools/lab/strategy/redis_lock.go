package strategy

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/redis/go-redis/v9"
)

var redisLockSpec = Spec{
	Name: "redis-lock", Counts: true,
	What: "The naive way inside a lock in Redis, with a token, a lease and a longest wait.",
	When: `Work that is wasteful to do twice and harmless all the same: a cache to fill, a mail to collect. Whoever pauses longer than the
lease comes back without the lock and does not know it.`,
	New: func(w *World) Strategy { return &redisLock{naive{w}} },
}

const (
	longestWait = 2 * time.Second
	longestPoll = 20 * time.Millisecond
)

// unlock gives a lock back only to the one that has it: after a lapse it is another's.
//
// KEYS[1] the lock. ARGV[1] the token. Returns 1 if it was given back.
var unlock = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)

type redisLock struct{ naive }

// locked runs work while it has the lock, or believes so.
func (w *World) locked(ctx context.Context, work func() (Outcome, error)) (Outcome, error) {
	token, key := rand.Text(), w.key("lock")
	for deadline := time.Now().Add(longestWait); ; w.again(longestPoll) {
		taken, err := w.Redis.SetNX(ctx, key, token, w.Lease).Result()
		if err != nil {
			return "", err
		}
		if taken {
			break
		}
		if time.Now().After(deadline) {
			return "", ErrBusy
		}
	}
	defer unlock.Run(context.WithoutCancel(ctx), w.Redis, []string{key}, token) // if it fails the lease ends it
	return work()
}

func (s *redisLock) Grant(ctx context.Context, user string) (Outcome, error) {
	return s.locked(ctx, func() (Outcome, error) { return s.naive.Grant(ctx, user) })
}

func (s *redisLock) Add(ctx context.Context, user string, points int) error {
	_, err := s.locked(ctx, func() (Outcome, error) { return "", s.naive.Add(ctx, user, points) })
	return err
}

func (s *redisLock) Cancel(ctx context.Context, user string) error {
	_, err := s.locked(ctx, func() (Outcome, error) { return "", s.naive.Cancel(ctx, user) })
	return err
}

var redisLockFencedSpec = Spec{
	Name: "redis-lock-fenced", Unique: true, Counts: true,
	What: "The same lock with a number that grows: the database refuses who comes with an old one.",
	When: `Where a lock must be there and the store behind it can compare numbers. Then the store is what makes it exact, and the lock only
keeps the queue out of it.`,
	New: func(w *World) Strategy { return &redisLockFenced{w} },
}

type redisLockFenced struct{ *World }

func (s *redisLockFenced) Grant(ctx context.Context, user string) (Outcome, error) {
	return s.locked(ctx, func() (Outcome, error) { return s.fenced(ctx, user) })
}

// fenced shows its number to the row before it reads: a number shown at the write alone would let an older holder write
// between the read and the write of a younger one.
func (s *redisLockFenced) fenced(ctx context.Context, user string) (Outcome, error) {
	fence, err := s.Redis.Incr(ctx, s.key("fence")).Result()
	if err != nil {
		return "", err
	}
	newest, err := changed(ctx, s.DB, `UPDATE campaign SET fence = ? WHERE fence < ?`, fence, fence)
	if err != nil {
		return "", err
	}
	if !newest {
		return "", s.refuse()
	}
	var quota, granted int
	if err := s.DB.QueryRowContext(ctx, `SELECT quota, granted FROM campaign`).Scan(&quota, &granted); err != nil {
		return "", err
	}
	if held, err := holds(ctx, s.DB, user); held || err != nil {
		return Replayed, err
	}
	if granted >= quota {
		return SoldOut, nil
	}
	s.AfterRead()
	return s.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) {
		mine, err := changed(ctx, tx, `UPDATE campaign SET granted = granted + 1 WHERE fence = ?`, fence)
		if err != nil {
			return "", err
		}
		if !mine {
			return "", s.refuse()
		}
		s.Halfway()
		return Granted, insertGrant(ctx, tx, user)
	})
}

// refuse counts one whose lease lapsed, and whose lock is somebody else's.
func (s *redisLockFenced) refuse() error {
	s.Fenced.Add(1)
	return ErrBusy
}
