package kafkastream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Retention is how long the topics keep a record, at least.
const Retention = 30 * 24 * time.Hour

const adminTimeout = 10 * time.Second // of one request; a caller's ctx can only shorten it

// Admin makes topics and asks the brokers about them. Its errors are coupon.CodeUnavailable unless said otherwise.
type Admin struct {
	cfg       Config
	client    *kafka.Client
	transport *kafka.Transport
}

// NewAdmin returns an Admin. It connects when it is first used.
func NewAdmin(cfg Config) *Admin {
	transport := cfg.transport()
	return &Admin{cfg: cfg, client: adminClient(cfg, transport), transport: transport}
}

func adminClient(cfg Config, transport *kafka.Transport) *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: adminTimeout, Transport: transport}
}

// Close ends the connections. The Admin can still be used, and connects again.
func (a *Admin) Close() { a.transport.CloseIdleConnections() }

// TopicSpec is a topic as it should be made.
type TopicSpec struct {
	Name        string
	Partitions  int
	Replication int
}

// config keeps an acknowledged record through the loss of one broker, where there is more than one.
func (s TopicSpec) config() []kafka.ConfigEntry {
	entries := []kafka.ConfigEntry{
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(Retention.Milliseconds(), 10)},
		{ConfigName: "retention.bytes", ConfigValue: "-1"},
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "unclean.leader.election.enable", ConfigValue: "false"},
	}
	if s.Replication >= 3 {
		entries = append(entries, kafka.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: "2"})
	}
	return entries
}

// ErrTooFewBrokers says that a topic should have more copies of a record than there are brokers.
var ErrTooFewBrokers error = kafka.InvalidReplicationFactor

// EnsureTopics makes the topics that are missing and returns their names. One that exists is left as it is: Weaknesses
// says what is wrong with it. Every topic is tried; the error joins what failed, with ErrTooFewBrokers among it.
func (a *Admin) EnsureTopics(ctx context.Context, specs []TopicSpec) (created []string, err error) {
	request := &kafka.CreateTopicsRequest{}
	for _, s := range specs {
		request.Topics = append(request.Topics, kafka.TopicConfig{
			Topic: s.Name, NumPartitions: s.Partitions, ReplicationFactor: s.Replication, ConfigEntries: s.config(),
		})
	}
	response, err := a.client.CreateTopics(ctx, request)
	if err != nil {
		return nil, coupon.Unavailable("create topics", err)
	}
	var failed []error
	for _, s := range specs {
		switch err := response.Errors[s.Name]; {
		case err == nil:
			created = append(created, s.Name)
		case errors.Is(err, kafka.TopicAlreadyExists):
		default:
			failed = append(failed, fmt.Errorf("create topic %s: %w", s.Name, err))
		}
	}
	return created, errors.Join(failed...)
}

// Ping returns nil when a broker answers.
func (a *Admin) Ping(ctx context.Context) error {
	response, err := a.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return coupon.Unavailable("ping Kafka", err)
	}
	return nil
}

// Weaknesses returns one sentence for each setting under which the topic could lose an acknowledged record.
func (a *Admin) Weaknesses(ctx context.Context, topic string) ([]string, error) {
	partitions, err := metadataOf(ctx, a.client, topic)
	if err != nil {
		return nil, coupon.Unavailable("describe "+topic, err)
	}
	settings, err := a.settings(ctx, topic)
	if err != nil {
		return nil, coupon.Unavailable("describe "+topic, err)
	}
	replicas := len(partitions[0].Replicas)
	for _, p := range partitions {
		replicas = min(replicas, len(p.Replicas))
	}
	return weaknesses(topic, replicas, settings), nil
}

func weaknesses(topic string, replicas int, settings map[string]string) []string {
	var found []string
	say := func(format string, args ...any) {
		found = append(found, "topic "+topic+" "+fmt.Sprintf(format, args...))
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(settings[name], 10, 64) // absent or odd counts as 0: weak
		return n
	}
	if replicas < 3 {
		say("has replication factor %d: losing a broker can lose acknowledged claims (3 is safe)", replicas)
	}
	if n := number("min.insync.replicas"); n < 2 {
		say("has min.insync.replicas %d: one broker alone can acknowledge a claim (2 is safe)", n)
	}
	if settings["unclean.leader.election.enable"] != "false" {
		say("allows unclean leader election: a stale replica can drop acknowledged claims")
	}
	if n := number("retention.ms"); n >= 0 && n < Retention.Milliseconds() {
		say("keeps records for %s: less than 30 days", time.Duration(n)*time.Millisecond)
	}
	if n := number("retention.bytes"); n >= 0 {
		say("is limited to %d bytes a partition: a large drop can push claims out before they are issued", n)
	}
	if policy := settings["cleanup.policy"]; policy != "delete" {
		say("has cleanup.policy %s: compaction drops a user's earlier claims", policy)
	}
	return found
}

func (a *Admin) settings(ctx context.Context, topic string) (map[string]string, error) {
	response, err := a.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}},
	})
	if err != nil {
		return nil, err
	}
	settings := make(map[string]string)
	for _, resource := range response.Resources {
		if resource.Error != nil {
			return nil, resource.Error
		}
		for _, entry := range resource.ConfigEntries {
			settings[entry.ConfigName] = entry.ConfigValue
		}
	}
	return settings, nil
}

// metadataOf returns a topic's partitions in order, at least one.
func metadataOf(ctx context.Context, client *kafka.Client, topic string) ([]kafka.Partition, error) {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	for _, t := range metadata.Topics {
		if t.Name != topic {
			continue
		}
		if t.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", topic, t.Error)
		}
		if len(t.Partitions) > 0 {
			slices.SortFunc(t.Partitions, func(a, b kafka.Partition) int { return a.ID - b.ID })
			return t.Partitions, nil
		}
	}
	return nil, fmt.Errorf("topic %s: %w", topic, kafka.UnknownTopicOrPartition)
}

func partitionCount(ctx context.Context, client *kafka.Client, topic string) (int, error) {
	partitions, err := metadataOf(ctx, client, topic)
	return len(partitions), err
}
