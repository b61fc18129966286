// Package migrate brings the database's schema and the log's topics to what this version needs.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/seonchak/seonchak/pkg/kafkastream"
)

// topics makes the topics that are missing, and leaves those that exist as they are. Lag answers once every partition of
// a topic has a leader that serves it.
type topics interface {
	EnsureTopics(ctx context.Context, specs []kafkastream.TopicSpec) (created []string, err error)
	Lag(ctx context.Context, group, topic string) ([]kafkastream.PartitionLag, error)
}

// Options are what a run takes from outside. Every field must be set.
type Options struct {
	DSN        string
	Migrations fs.FS // goose's SQL files, at its root
	Topics     []kafkastream.TopicSpec
	Group      string                // the consumers'
	MayWeaken  bool                  // make a topic with fewer copies of a record than asked for where there are too few brokers
	Progress   func(done, total int) // in files
	Logger     *slog.Logger
}

// Job migrates.
type Job struct {
	topics topics
	Options
}

// New returns a Job over the log; it opens the database itself, because that may not exist yet.
func New(topics topics, options Options) *Job { return &Job{topics: topics, Options: options} }

// Result says what was not there before.
type Result struct {
	Database   string   `json:"database,omitempty"` // created by this run
	Migrations []string `json:"migrations"`         // applied by this run
	Topics     []string `json:"topics"`             // created by this run
	Replicas   int      `json:"replicas,omitempty"` // of each topic this run created
}

// OK reports true: what a run could not do is an error.
func (r Result) OK() bool { return true }

// Summary returns the result as one line.
func (r Result) Summary() string {
	line := fmt.Sprintf("migrations applied %d, topics created %d", len(r.Migrations), len(r.Topics))
	if r.Database != "" {
		line = "database " + r.Database + " created, " + line
	}
	return line
}

// RunOnce does what is missing, and nothing when nothing is. Two at once both succeed: one waits for the other's lock.
// The topics are made even when the schema could not be, and the error then names both. Cut short or killed, the next run
// goes on where this one ended: a file that was not recorded is run again, and what it had made stays as it is.
func (j *Job) RunOnce(ctx context.Context) (Result, error) {
	var result Result
	schema := j.schema(ctx, &result)
	err := errors.Join(schema, j.ensureTopics(ctx, &result))
	for _, topic := range result.Topics {
		j.awaitLeaders(ctx, topic)
	}
	return result, err
}

func (j *Job) schema(ctx context.Context, result *Result) error {
	config, err := configure(j.DSN)
	if err != nil {
		return err
	}
	created, err := ensureDatabase(ctx, config)
	if err != nil {
		return err
	}
	if created {
		result.Database = config.DBName
		j.Logger.Info("database created", "database", config.DBName)
	}
	result.Migrations, err = j.upgrade(ctx, config)
	for _, file := range result.Migrations {
		j.Logger.Info("migration applied", "file", file)
	}
	return err
}

// ensureTopics asks for as many copies as it should and, where that may be, for as many as the brokers can hold.
func (j *Job) ensureTopics(ctx context.Context, result *Result) error {
	specs := append([]kafkastream.TopicSpec(nil), j.Topics...)
	for {
		created, err := j.topics.EnsureTopics(ctx, specs)
		result.Topics = append(result.Topics, created...)
		if len(created) > 0 {
			result.Replicas = specs[0].Replication
			j.Logger.Info("topics created", "topics", created, "replicas", result.Replicas)
		}
		if err == nil || !errors.Is(err, kafkastream.ErrTooFewBrokers) {
			return err
		}
		if !j.MayWeaken {
			return fmt.Errorf("%w (set KAFKA_REPLICATION_FACTOR, or ALLOW_WEAK_STORES=1)", err)
		}
		if !fewerCopies(specs) {
			return err
		}
		j.Logger.Warn("too few brokers: a new topic gets fewer copies, and losing a broker can lose claims",
			"asked", j.Topics[0].Replication, "now", specs[0].Replication)
	}
}

// awaitLeaders waits until a new topic can be used, so that what is started next finds it. It is made either way.
func (j *Job) awaitLeaders(ctx context.Context, topic string) {
	const bound, pause = 10 * time.Second, 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		_, err := j.topics.Lag(ctx, j.Group, topic)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			j.Logger.Warn("a new topic does not answer yet", "topic", topic, "error", err)
			return
		case <-time.After(pause):
		}
	}
}

// fewerCopies lowers the number of copies by one, and reports whether that was possible.
func fewerCopies(specs []kafkastream.TopicSpec) bool {
	for i := range specs {
		if specs[i].Replication == 1 {
			return false
		}
		specs[i].Replication--
	}
	return true
}
