package strategy

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
)

var kafkaDirectSpec = Spec{
	Name: "kafka-direct", Unique: true, Topic: true,
	What: "One script in Redis decides, the grant goes to Kafka, a consumer makes the row. Nothing remembers what is on the way.",
	When: `Where a grant that nobody sees again is cheap. It has the pipeline's speed and its order, and loses whatever was decided in Redis
and not yet in Kafka when a server died: the user is told that he has one, for ever, and there is no row.`,
	New: newKafkaDirect,
}

// decide takes a place for a user, once.
//
// KEYS[1] the members, KEYS[2] the count. ARGV[1] the user, ARGV[2] the limit. Returns granted, replayed or sold_out.
var decide = redis.NewScript(`
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 'replayed' end
if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[2]) then return 'sold_out' end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('INCR', KEYS[2])
return 'granted'`)

type kafkaDirect struct {
	*World
	writer *kafka.Writer
}

func newKafkaDirect(w *World) Strategy {
	return &kafkaDirect{w, &kafka.Writer{
		Addr: kafka.TCP(w.Kafka...), Topic: w.Name, RequiredAcks: kafka.RequireAll, BatchTimeout: 2 * time.Millisecond,
	}}
}

func (s *kafkaDirect) Grant(ctx context.Context, user string) (Outcome, error) {
	decided, err := decide.Run(ctx, s.Redis, []string{s.key("users"), s.key("count")}, user, s.Limit).Text()
	if err != nil || Outcome(decided) != Granted {
		return Outcome(decided), err
	}
	s.Halfway()
	return Granted, s.writer.WriteMessages(ctx, kafka.Message{Value: []byte(user)})
}

// Work makes the rows. It reads from the beginning in each life, which the unique key makes harmless.
func (s *kafkaDirect) Work(ctx context.Context) error {
	if !s.First {
		return nil
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: s.Kafka, Topic: s.Name, MaxWait: 50 * time.Millisecond})
	defer func() { _ = reader.Close() }()
	for {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return err
		}
		if _, err := s.DB.ExecContext(ctx, `INSERT IGNORE INTO grants (user) VALUES (?)`, string(message.Value)); err != nil {
			return err
		}
		s.Redis.Set(ctx, s.key("consumed"), message.Offset+1, 0)
	}
}

// Backlog counts the records that are no rows yet.
func (s *kafkaDirect) Backlog(ctx context.Context) (int64, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", s.Kafka[0], s.Name, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	end, err := conn.ReadLastOffset()
	if err != nil {
		return 0, err
	}
	consumed, err := s.Redis.Get(ctx, s.key("consumed")).Int64()
	if err != nil && err != redis.Nil { //nolint:errorlint // go-redis returns it bare
		return 0, err
	}
	return end - consumed, nil
}
