// Package trial lets a crowd loose on a strategy, and counts what it got wrong and what it cost.
package trial

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"github.com/seonchak/seonchak/tools/lab/serve"
	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/procs"
)

// Ground is a private place on shared stores for one strategy: a database, a prefix of keys, a topic.
type Ground struct {
	Spec  strategy.Spec
	Name  string
	Limit int
	Lease time.Duration // of locks and guards in Redis
	DSN   string
	DB    *sql.DB
	Redis *redis.Client

	stores procs.Stores
}

// NewGround makes a ground for a campaign of limit places.
func NewGround(ctx context.Context, stores procs.Stores, spec strategy.Spec, limit int) (g *Ground, err error) {
	g = &Ground{Spec: spec, Name: "lab-" + strings.ToLower(rand.Text()[:10]), Limit: limit, Lease: serve.Lease, stores: stores}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	if err := g.execute(ctx, "CREATE DATABASE `"+g.Name+"`"); err != nil {
		return g, err
	}
	if g.DSN, err = withDatabase(stores.MySQL, g.Name); err != nil {
		return g, err
	}
	if g.DB, err = serve.Open(g.DSN); err != nil {
		return g, err
	}
	if g.Redis, err = serve.Dial(stores.Redis); err != nil {
		return g, err
	}
	if spec.Topic {
		if err := g.createTopic(ctx); err != nil {
			return g, err
		}
	}
	return g, strategy.Prepare(ctx, g.DB, spec, limit)
}

// OpenAccount gives the user of Contention an account.
func (g *Ground) OpenAccount(ctx context.Context) error {
	_, err := g.DB.ExecContext(ctx, `INSERT INTO points (user, points, grade) VALUES (?, 0, 0)`, account)
	return err
}

// Database returns the name and the version of the database server.
func Database(ctx context.Context, stores procs.Stores) (string, error) {
	db, err := sql.Open("mysql", stores.MySQL)
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	var told string
	if err := db.QueryRowContext(ctx, `SELECT VERSION()`).Scan(&told); err != nil {
		return "", fmt.Errorf("version of the database server: %w", err)
	}
	version, _, _ := strings.Cut(told, "-")
	if strings.Contains(told, "MariaDB") {
		return "MariaDB " + version, nil
	}
	return "MySQL " + version, nil
}

// World returns what an instance of the strategy has, with hooks that do nothing.
func (g *Ground) World() *strategy.World {
	return &strategy.World{
		Name: g.Name, Limit: g.Limit, DB: g.DB, Redis: g.Redis, Kafka: g.brokers(), Lease: g.Lease,
		AfterRead: func() {}, Halfway: func() {},
	}
}

func (g *Ground) brokers() []string { return strings.Split(g.stores.Kafka, ",") }

func withDatabase(dsn, name string) (string, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "", fmt.Errorf("MYSQL_DSN: %w", err)
	}
	config.DBName = name
	return config.FormatDSN(), nil
}

func (g *Ground) execute(ctx context.Context, statement string) error {
	dsn, err := withDatabase(g.stores.MySQL, "")
	if err != nil {
		return err
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func (g *Ground) kafka() *kafka.Client { return &kafka.Client{Addr: kafka.TCP(g.brokers()...)} }

func (g *Ground) createTopic(ctx context.Context) error {
	response, err := g.kafka().CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: g.Name, NumPartitions: 1, ReplicationFactor: 1}},
	})
	if err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return response.Errors[g.Name]
}

// keys returns the keys of a trial.
func keys(ctx context.Context, client *redis.Client, name string) (found []string, err error) {
	scan := client.Scan(ctx, 0, "*"+name+"*", 1_000).Iterator()
	for scan.Next(ctx) {
		found = append(found, scan.Val())
	}
	return found, scan.Err()
}

// memory returns how many bytes the keys of a trial take in Redis.
func memory(ctx context.Context, client *redis.Client, name string) (bytes int64, err error) {
	found, err := keys(ctx, client, name)
	if err != nil {
		return 0, err
	}
	answers, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range found {
			p.MemoryUsage(ctx, key, 0)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) { // a key may have ended meanwhile
		return 0, err
	}
	for _, answer := range answers {
		bytes += answer.(*redis.IntCmd).Val()
	}
	return bytes, nil
}

func (g *Ground) forget(ctx context.Context) error {
	const atOnce = 1_000
	found, err := keys(ctx, g.Redis, g.Name)
	for len(found) > 0 && err == nil {
		n := min(atOnce, len(found))
		err = g.Redis.Unlink(ctx, found[:n]...).Err()
		found = found[n:]
	}
	return err
}

// Close removes all of it.
func (g *Ground) Close() error {
	const bound = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	var failed []error
	if g.Redis != nil {
		failed = append(failed, g.forget(ctx), g.Redis.Close())
	}
	if g.DB != nil {
		failed = append(failed, g.DB.Close())
	}
	if g.Spec.Topic {
		_, err := g.kafka().DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{g.Name}})
		failed = append(failed, err)
	}
	return errors.Join(append(failed, g.execute(ctx, "DROP DATABASE IF EXISTS `"+g.Name+"`"))...)
}
