// Package strategy holds the known ways to serve the first who come, one a file, the wrong ones too. They are for
// comparison only: nothing of the product imports them.
package strategy

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Outcome is what a user is told.
type Outcome string

// The outcomes. All but Queued are final.
const (
	Granted  Outcome = "granted"  // a place is yours
	Replayed Outcome = "replayed" // it was yours before
	Queued   Outcome = "queued"   // it will be decided
	SoldOut  Outcome = "sold_out"
	Refused  Outcome = "already_applied" // of those that cannot tell a repeat from an abuse
)

// ErrBusy means that nothing was done and that a repeat may help.
var ErrBusy = errors.New("busy")

// Strategy decides who gets a place. Any number of requests call it at once, and other instances of it work on the same
// stores.
type Strategy interface {
	// Grant answers a user who wants a place. After an error the outcome is unknown, or ErrBusy.
	Grant(ctx context.Context, user string) (Outcome, error)
}

// Canceller is a Strategy that can take a place back.
type Canceller interface {
	Cancel(ctx context.Context, user string) error
}

// Adder is a Strategy that also suits a user's points, a read-modify-write.
type Adder interface {
	Add(ctx context.Context, user string, points int) error
}

// Worker is a Strategy with work in the background. Work returns when ctx ends.
type Worker interface {
	Work(ctx context.Context) error
	// Backlog returns how much of the work is not done.
	Backlog(ctx context.Context) (int64, error)
}

// World is what an instance of a strategy has.
type World struct {
	Name  string // of the trial: prefix of its keys, and its topic
	Limit int
	First bool // exactly one instance is: the one with work that is not to be shared

	DB    *sql.DB
	Redis *redis.Client
	Kafka []string

	Lease time.Duration // how long a lock or guard in Redis holds

	AfterRead func() // called between a read and the write that relies on it: here races live
	Halfway   func() // called between two writes that belong together: here crashes hurt

	Retries   atomic.Int64 // tries again, for whatever reason; the next two are among them
	Deadlocks atomic.Int64
	TimeOuts  atomic.Int64 // of lock waits
	Fenced    atomic.Int64 // writes that were refused because they came with an old number
}

func (w *World) key(name string) string { return w.Name + ":" + name }

// Spec says what there is to know of a strategy before it runs.
type Spec struct {
	Name   string
	Unique bool // the table of grants has UNIQUE (user)
	Topic  bool // there is a topic of the trial's name
	Counts bool // it keeps the count of the grants in campaign.granted
	New    func(*World) Strategy
	What   string // it is, in a sentence
	When   string // it is the right choice
}

// All are the strategies in the order of the table. The product itself is not among them: it runs as it is.
var All = []Spec{
	naiveSpec, processMutexSpec, uniqueKeySpec, forUpdateSpec, optimisticSpec, atomicUpdateSpec,
	readCommittedSpec, repeatableReadSpec, serializableSpec,
	redisIncrSpec, redisIncrSaddSpec, redisSetnxSpec, redisLockSpec, redisLockFencedSpec, redisSetSpec,
	redisListSpec, redisListReliableSpec, idempotencyOutsideSpec, idempotencyInsideSpec,
	externalCallSpec, externalOutboxSpec, kafkaDirectSpec,
}

// Find returns the strategy of a name.
func Find(name string) (Spec, bool) {
	for _, s := range All {
		if s.Name == name {
			return s, true
		}
	}
	return Spec{}, false
}
