package kafkastream

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// BenchmarkPublish compares the producer with the library's own Writer: so many callers, each of which waits for the ack
// of one claim before it sends the next. The two take turns, so that whatever else the machine does hits both.
func BenchmarkPublish(b *testing.B) {
	for _, callers := range []int{64, 512} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { comparePublish(b, callers) })
	}
}

func comparePublish(b *testing.B, callers int) {
	const each = 40 // claims a caller and turn
	topic := testenv.Topic(b, Partitions)
	p := producer(b, realBroker(b), topic, room)
	cfg := realBroker(b)
	w := &kafka.Writer{
		Addr: kafka.TCP(cfg.Brokers...), Topic: topic, Transport: cfg.transport(topic),
		Balancer: kafka.Murmur2Balancer{Consistent: true}, RequiredAcks: kafka.RequireAll,
		BatchSize: batchLimit, BatchTimeout: 2 * time.Millisecond,
	}
	b.Cleanup(func() { _ = w.Close() })
	ours := func(i int) error { return publish(p, claimOf(i), 30*time.Second) }
	theirs := func(i int) error { return w.WriteMessages(context.Background(), writerMessage(i)) }
	turn(b, callers, 1, ours)
	turn(b, callers, 1, theirs)

	var oursTook, theirsTook time.Duration
	claims := 0
	for b.Loop() {
		oursTook += turn(b, callers, each, ours)
		theirsTook += turn(b, callers, each, theirs)
		claims += callers * each
	}
	b.ReportMetric(float64(claims)/oursTook.Seconds(), "claims/s")
	b.ReportMetric(float64(claims)/theirsTook.Seconds(), "writer-claims/s")
	b.ReportMetric(theirsTook.Seconds()/oursTook.Seconds(), "times-writer")
	b.ReportMetric(float64(oursTook.Microseconds())/float64(claims/callers), "µs/ack")
}

func writerMessage(i int) kafka.Message {
	claim := claimOf(i)
	m := kafka.Message{Key: event.Key(claim), Value: event.Encode(claim)}
	for _, h := range event.Headers(claim) {
		m.Headers = append(m.Headers, kafka.Header(h))
	}
	return m
}

func turn(b *testing.B, callers, each int, send func(i int) error) time.Duration {
	begin := time.Now()
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				if err := send(caller*each + i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}
