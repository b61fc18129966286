package testenv

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// Kafka returns the brokers.
func Kafka(tb testing.TB) []string {
	tb.Helper()
	return strings.Split(require(tb, "KAFKA_BROKERS"), ",")
}

// Topic creates a topic with the given number of partitions, waits until each has a leader, and deletes it when the
// test ends.
func Topic(tb testing.TB, partitions int) string {
	tb.Helper()
	client := &kafka.Client{Addr: kafka.TCP(Kafka(tb)...), Timeout: 10 * time.Second}
	name := "test." + token()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	response, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}},
	})
	if err == nil {
		err = response.Errors[name]
	}
	if err != nil {
		tb.Fatalf("create topic: %v", err)
	}
	tb.Cleanup(func() {
		_, _ = client.DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{name}})
	})
	awaitLeaders(ctx, tb, client, name, partitions)
	return name
}

// Group returns a consumer group no other test has.
func Group() string { return "test-" + token() }

// awaitLeaders asks the leaders themselves: metadata name them before they know.
func awaitLeaders(ctx context.Context, tb testing.TB, client *kafka.Client, topic string, partitions int) {
	tb.Helper()
	ends := make([]kafka.OffsetRequest, partitions)
	for p := range ends {
		ends[p] = kafka.LastOffsetOf(p)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		told, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ends}})
		if err == nil && led(told.Topics[topic], partitions) {
			return
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("topic %s has no leaders after 30 s", topic)
		case <-tick.C:
		}
	}
}

func led(ends []kafka.PartitionOffsets, partitions int) bool {
	if len(ends) != partitions {
		return false
	}
	for _, p := range ends {
		if p.Error != nil {
			return false
		}
	}
	return true
}
