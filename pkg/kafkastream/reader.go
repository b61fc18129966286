package kafkastream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
)

// ErrOffsetLost says that the log no longer has the record a reader should read next: retention was too short, or the
// topic was made anew. That partition is not read any more, so the process must end and a person must look.
var ErrOffsetLost = errors.New("the next record to read is no longer in the log")

const (
	commitTimeout = 10 * time.Second
	closeTimeout  = 10 * time.Second
	complaints    = 10 // lines of the library's error log at once, then one a second
)

// Reader reads a topic as a member of a group. What was fetched and not committed is read again after a restart or a
// rebalance, perhaps by another member: whoever handles records must bear each of them twice.
type Reader struct {
	reader *kafka.Reader
	topic  string
}

// NewReader joins a group, in the background, and begins where the group's last commit was, or with the oldest record
// when it never committed. It panics on a configuration without brokers, group or topic.
func NewReader(cfg Config, group, topic string, logger *slog.Logger) *Reader {
	if group == "" {
		panic("kafkastream: a reader needs a group")
	}
	return &Reader{topic: topic, reader: kafka.NewReader(kafka.ReaderConfig{
		Brokers:                cfg.Brokers,
		Dialer:                 cfg.dialer(),
		GroupID:                group,
		Topic:                  topic,
		StartOffset:            kafka.FirstOffset,
		CommitInterval:         0, // only when told to
		MinBytes:               1,
		MaxBytes:               10e6,
		MaxWait:                300 * time.Millisecond, // also what a Close or a rebalance waits for
		ReadBatchTimeout:       2 * time.Second,
		QueueCapacity:          2000,
		ReadBackoffMin:         10 * time.Millisecond,
		ReadBackoffMax:         500 * time.Millisecond,
		SessionTimeout:         10 * time.Second,
		HeartbeatInterval:      2 * time.Second,
		RebalanceTimeout:       15 * time.Second,
		JoinGroupBackoff:       500 * time.Millisecond, // the first join ever on a broker fails once
		WatchPartitionChanges:  true,
		PartitionWatchInterval: 10 * time.Second,
		OffsetOutOfRangeError:  true,
		ErrorLogger:            &errorLog{logger: logger, limit: rate.NewLimiter(1, complaints)},
	})}
}

// Fetch returns the next record of whatever partitions this member has, and waits for one. It returns io.EOF after
// Close, ctx's error when that ended, ErrOffsetLost, or a coupon.CodeUnavailable, after which it can be called again.
func (r *Reader) Fetch(ctx context.Context) (Record, error) {
	m, err := r.reader.FetchMessage(ctx)
	switch {
	case err == nil:
		return recordOf(m), nil
	case errors.Is(err, io.EOF), ctx.Err() != nil:
		return Record{}, err
	case errors.Is(err, kafka.OffsetOutOfRange):
		return Record{}, fmt.Errorf("fetch from %s: %w: %w", r.topic, ErrOffsetLost, err)
	default:
		return Record{}, coupon.Unavailable("fetch from "+r.topic, err)
	}
}

// Commit says that everything up to the highest offset given of each partition needs no reading again, including records
// that are not among those given. It waits at most 10 s. After an error the group may or may not remember; the next
// commit covers this one.
func (r *Reader) Commit(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := r.reader.CommitMessages(ctx, highest(records)...); err != nil {
		return coupon.Unavailable("commit offsets of "+r.topic, err)
	}
	return nil
}

// Close leaves the group, so that the others take over at once. It waits at most 10 s: a broker that does not answer
// will miss this member by itself.
func (r *Reader) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- r.reader.Close() }()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case err := <-closed:
		return err
	case <-timer.C:
		return coupon.Unavailable("leave the group", context.DeadlineExceeded)
	}
}

func recordOf(m kafka.Message) Record {
	headers := make([]event.Header, len(m.Headers))
	for i, h := range m.Headers {
		headers[i] = event.Header(h)
	}
	return Record{
		Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
		Key: m.Key, Value: m.Value, Headers: headers, HighWaterMark: m.HighWaterMark,
	}
}

// highest returns one message a partition: the last one of those given.
func highest(records []Record) []kafka.Message {
	type place struct {
		topic     string
		partition int
	}
	last := make(map[place]int64)
	for _, r := range records {
		p := place{r.Topic, r.Partition}
		if offset, seen := last[p]; !seen || r.Offset > offset {
			last[p] = r.Offset
		}
	}
	messages := make([]kafka.Message, 0, len(last))
	for p, offset := range last {
		messages = append(messages, kafka.Message{Topic: p.topic, Partition: p.partition, Offset: offset})
	}
	return messages
}

// errorLog lets some of the library's complaints through: with a broker down there are dozens a second.
type errorLog struct {
	logger *slog.Logger
	limit  *rate.Limiter
}

// Printf logs one complaint as a warning.
func (l *errorLog) Printf(format string, args ...any) {
	if l.limit.Allow() {
		l.logger.Warn("kafka reader", "error", fmt.Sprintf(format, args...))
	}
}
