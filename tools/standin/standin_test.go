package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// start runs a stand-in on a free port until the test ends or stop is called.
func start(t *testing.T, args ...string) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, args, writer)
		_ = writer.CloseWithError(io.EOF)
		done <- err
	}()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("standin %v: %v", args, err)
		}
	}
	t.Cleanup(stop)

	var warned bool
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		warned = warned || strings.Contains(lines.Text(), "WARNING")
		if _, after, found := strings.Cut(lines.Text(), " on "); found {
			address = after
			break
		}
	}
	if address == "" || !warned {
		t.Fatalf("standin %v: address %q, warned %v", args, address, warned)
	}
	return address, stop
}

func TestRedisExpiresKeys(t *testing.T) {
	t.Parallel()
	address, _ := start(t, "redis")
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	replies := bufio.NewReader(conn)
	ask := func(command string) string {
		t.Helper()
		words := strings.Fields(command)
		request := fmt.Sprintf("*%d\r\n", len(words))
		for _, word := range words {
			request += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		line, err := replies.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line)
	}

	if got := ask("SET short 1 PX 50"); got != "+OK" {
		t.Fatalf("SET: %s", got)
	}
	if got := ask("SET long 1 EX 3600"); got != "+OK" {
		t.Fatalf("SET: %s", got)
	}
	for ask("EXISTS short") != ":0" { // bounded by the connection's deadline
	}
	if got := ask("EXISTS long"); got != ":1" {
		t.Errorf("the long-lived key went too: EXISTS answers %s", got)
	}
}

func TestKafkaKeepsItsDataAcrossARestart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	address, stop := start(t, "kafka", "--data", data)
	writer := dial(t, address)
	createTopic(ctx, t, writer, "claims")
	if err := writer.ProduceSync(ctx, &kgo.Record{Topic: "claims", Value: []byte("first")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(ctx, &kgo.Record{Topic: "unknown", Value: []byte("x")}).FirstErr(); err == nil {
		t.Error("a message to an unknown topic was accepted")
	}
	writer.Close()
	stop()

	address, _ = start(t, "kafka", "--data", data)
	reader := dial(t, address, kgo.ConsumeTopics("claims"))
	fetches := reader.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	records := fetches.Records()
	if len(records) != 1 || string(records[0].Value) != "first" {
		t.Errorf("after the restart: %d records %v", len(records), records)
	}
}

func dial(t *testing.T, address string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	options = append(options, kgo.SeedBrokers(address), kgo.UnknownTopicRetries(0))
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func createTopic(ctx context.Context, t *testing.T, client *kgo.Client, name string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 5000
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	if code := response.Topics[0].ErrorCode; code != 0 {
		t.Fatalf("create topic %s: error code %d", name, code)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args []string
		want string
	}{
		"no store":       {nil, "usage"},
		"unknown store":  {[]string{"mysql"}, "unknown store"},
		"not loopback":   {[]string{"redis", "--addr", "0.0.0.0:0"}, "not a loopback address"},
		"not an address": {[]string{"kafka", "--addr", "nowhere"}, "--addr"},
		"extra word":     {[]string{"redis", "now"}, "unexpected"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), c.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
