package floor

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
)

// The names of the floors.
const (
	Gin        = "gin"         // an HTTP server that answers the same bytes
	GinEvalSHA = "gin+evalsha" // and asks Redis once for each apply
	Redis      = "redis"       // SADD and INCR, 128 claims a pipeline
	Kafka      = "kafka"       // kafka-go's client with batches that are ready, acks of all
	Writer     = "writer"      // kafka-go's own producer, acks of all
	Own        = "producer"    // the api-server's producer alone, acks of all
	MySQL      = "mysql"       // a multi-row INSERT and a COMMIT
)

const (
	pipelined = 128 // claims, as many as the api-server sends at once
	inserted  = 500 // rows, as many as the consumer writes at once
	inFlight  = 2   // calls to a store: one is made ready while the other is on its way

	setupBound = 30 * time.Second
)

// Store is a floor that works on a store without any HTTP.
type Store struct {
	// Step does some claims whose serials begin at first, and returns how many. It may be called by many goroutines.
	Step  func(ctx context.Context, first int64) (claims int64, err error)
	Lanes int // calls of Step at once
	Close func() error

	serial atomic.Int64
}

// Round does as many claims as possible for so long, and returns how many.
func (s *Store) Round(ctx context.Context, lasts time.Duration) (claims int64, took time.Duration, err error) {
	return s.while(ctx, func(took time.Duration, _ int64) bool { return took < lasts })
}

// Claims does at least so many claims, as fast as possible, and returns how many.
func (s *Store) Claims(ctx context.Context, least int64) (claims int64, took time.Duration, err error) {
	return s.while(ctx, func(_ time.Duration, done int64) bool { return done < least })
}

// while lets each lane step as long as there is more to do.
func (s *Store) while(ctx context.Context, more func(took time.Duration, claims int64) bool) (claims int64, took time.Duration, err error) {
	var done atomic.Int64
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range s.Lanes {
		group.Go(func() error {
			for more(time.Since(begin), done.Load()) {
				n, err := s.Step(ctx, s.serial.Add(max(pipelined, inserted)))
				if err != nil {
					return err
				}
				done.Add(n)
			}
			return nil
		})
	}
	err = group.Wait()
	return done.Load(), time.Since(begin), err
}

func ownName() string { return "load_floor_" + strings.ToLower(rand.Text()[:10]) }

// scattered returns a number of its own for each serial, which lies anywhere, as users and codes of coupons do.
func scattered(serial int64) uint64 { return uint64(serial) * 0x9e3779b97f4a7c15 }

func user(serial int64) string { return fmt.Sprintf("u-%016x", scattered(serial)) }

// code is as long as a coupon's.
func code(serial int64) string { return fmt.Sprintf("%019d", scattered(serial)>>1) }

// OnRedis returns the floor of Redis.
func OnRedis(ctx context.Context, url string) (*Store, error) {
	client, err := dialRedis(ctx, url, inFlight)
	if err != nil {
		return nil, err
	}
	keys := keysOf(ownName())
	step := func(ctx context.Context, first int64) (int64, error) {
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := range int64(pipelined) {
				p.SAdd(ctx, keys[0], user(first+i))
				p.Incr(ctx, keys[1])
			}
			return nil
		})
		return pipelined, err
	}
	return &Store{Step: step, Lanes: inFlight, Close: func() error { return forget(client, keys) }}, nil
}

// OnKafka returns the floor of Kafka: claims as the api-server publishes them, in batches, to all partitions of a topic of
// its own at once.
func OnKafka(ctx context.Context, brokers string) (*Store, error) {
	t, err := newTopic(ctx, brokers)
	if err != nil {
		return nil, err
	}
	s := &Store{Lanes: kafkastream.Partitions, Close: t.drop}
	var turn atomic.Int64
	s.Step = func(ctx context.Context, first int64) (int64, error) {
		return pipelined, t.produce(ctx, int(turn.Add(1)%kafkastream.Partitions), first)
	}
	return s, nil
}

func (t *topic) produce(ctx context.Context, partition int, first int64) error {
	records := make([]kafka.Record, pipelined)
	for i := range records {
		claim := coupon.Claim{
			Key:   coupon.Key{Campaign: t.name, User: user(first + int64(i)), N: 1},
			Epoch: 1, Serial: first + int64(i), ClaimedAt: time.Now(),
		}
		records[i] = kafka.Record{
			Time: claim.ClaimedAt, Key: kafka.NewBytes(event.Key(claim)), Value: kafka.NewBytes(event.Encode(claim)),
		}
		for _, h := range event.Headers(claim) {
			records[i].Headers = append(records[i].Headers, kafka.Header(h))
		}
	}
	response, err := t.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: t.name, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err != nil {
		return err
	}
	return response.Error
}

// OnMySQL returns the floor of the database: rows as the consumer writes them, in a table like the one of coupons, which
// the database of the DSN must have.
func OnMySQL(ctx context.Context, dsn string) (*Store, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	config.InterpolateParams = true // a statement is one round trip, as the consumer's are
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db, table := sql.OpenDB(connector), ownName()
	if _, err := db.ExecContext(ctx, "CREATE TABLE "+table+" LIKE coupons"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	into := "INSERT INTO " + table + " (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at) VALUES " +
		strings.TrimSuffix(strings.Repeat("(1,?,?,1,1,?,?,?),", inserted), ",")
	step := func(ctx context.Context, first int64) (int64, error) {
		now := time.Now().UTC()
		args := make([]any, 0, 5*inserted)
		for i := range int64(inserted) {
			args = append(args, first+i, user(first+i), code(first+i), now, now)
		}
		_, err := db.ExecContext(ctx, into, args...) // alone it is a transaction
		return inserted, err
	}
	closer := func() error {
		_, err := db.ExecContext(context.Background(), "DROP TABLE "+table)
		return errors.Join(err, db.Close())
	}
	return &Store{Step: step, Lanes: inFlight, Close: closer}, nil
}
