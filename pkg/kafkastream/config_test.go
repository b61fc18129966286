package kafkastream

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		cfg      Config
		mistakes int
	}{
		{"plain text", Config{Brokers: []string{"a:9092", "[::1]:9092"}}, 0},
		{"plain", Config{Brokers: []string{"a:9092"}, TLS: true, SASLMechanism: "PLAIN", SASLUsername: "u", SASLPassword: "p"}, 0},
		{"scram 256", Config{Brokers: []string{"a:9092"}, SASLMechanism: "SCRAM-SHA-256", SASLUsername: "u", SASLPassword: "p"}, 0},
		{"scram 512", Config{Brokers: []string{"a:9092"}, SASLMechanism: "SCRAM-SHA-512", SASLUsername: "u", SASLPassword: "p"}, 0},
		{"nothing", Config{}, 1},
		{"three", Config{Brokers: []string{"a", "b:1", "c"}, SASLMechanism: "GSSAPI"}, 3},
	}
	for _, c := range cases {
		err := c.cfg.Validate()
		if c.mistakes == 0 {
			require.NoError(t, err, c.name)
			continue
		}
		require.Len(t, strings.Split(err.Error(), "\n"), c.mistakes, c.name)
	}
}

func TestUnknownMechanismIsNotNoMechanism(t *testing.T) {
	t.Parallel()
	cfg := realBroker(t)
	cfg.SASLMechanism = "GSSAPI"
	p := producer(t, cfg, testenv.Topic(t, 1), 1)
	require.Error(t, publish(p, claimOf(1), time.Second))
}

func TestMechanismsAreNamedAsTheBrokerNamesThem(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		cfg := Config{SASLMechanism: name, SASLUsername: "u", SASLPassword: "p"}
		require.Equal(t, name, cfg.sasl().Name())
		_, first, err := cfg.sasl().Start(context.Background())
		_ = first
		if name != "PLAIN" { // which wants the host
			require.NoError(t, err)
		}
	}
	require.Nil(t, Config{}.sasl())
	require.Nil(t, Config{}.tls())
}

func TestNothingWaitsForEverOnAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = far.Close() }()
		conn := impatient{near}
		defer func() { _ = conn.Close() }()
		begin := time.Now()
		require.NoError(t, conn.SetDeadline(time.Time{}))
		_, err := conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, silence, time.Since(begin))
	})
}

// Not parallel: the goroutines of other tests would be taken for leaks.
func TestNothingIsLeftRunning(t *testing.T) {
	topic := testenv.Topic(t, 3)
	through := newProxy(t)
	before := goleak.IgnoreCurrent()
	ctx, cancel := within(30 * time.Second)
	defer cancel()

	p := NewProducer(realBroker(t), topic, room)
	for _, err := range p.PublishAll(ctx, claimsOf(100)) {
		require.NoError(t, err)
	}
	require.NoError(t, p.Close(ctx))

	dead := NewProducer(Config{Brokers: []string{refusedAddress(t)}}, topic, room)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(publish(dead, claimOf(1), 100*time.Millisecond)))
	require.NoError(t, dead.Close(ctx))

	stuck := NewProducer(through.config(), topic, room)
	require.NoError(t, publish(stuck, claimOf(1), 10*time.Second))
	through.stall()
	require.Error(t, publish(stuck, claimOf(1), 100*time.Millisecond))
	require.NoError(t, stuck.Close(ctx))
	through.release()

	r := NewReader(realBroker(t), testenv.Group(), topic, slog.New(slog.DiscardHandler))
	fetch(t, r, 101)
	require.NoError(t, r.Close())

	a := NewAdmin(realBroker(t))
	require.NoError(t, a.Ping(ctx))
	a.Close()
	goleak.VerifyNone(t, before)
}

// written is a connection that remembers when something was written.
type written struct {
	net.Conn
	at []time.Duration
	t0 time.Time
}

func (w *written) Write(b []byte) (int, error) {
	w.at = append(w.at, time.Since(w.t0))
	return len(b), nil
}

func TestFetchesGather(t *testing.T) {
	t.Parallel()
	encoded := func(m protocol.Message, version int16) []byte {
		var b bytes.Buffer
		require.NoError(t, protocol.WriteRequest(&b, version, 7, "test", m))
		return b.Bytes()
	}
	fetching := encoded(&fetchapi.Request{Topics: []fetchapi.RequestTopic{{Topic: "any"}}}, 10)
	other := encoded(&metadata.Request{TopicNames: []string{"any"}}, 1)
	synctest.Test(t, func(t *testing.T) {
		conn := &written{t0: time.Now()}
		unhurried := &unhurried{Conn: conn}
		for _, request := range [][]byte{fetching, fetching, other, fetching} {
			_, err := unhurried.Write(request)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's fake clock
		_, err := unhurried.Write(fetching)
		require.NoError(t, err)
		late := 2*fetchPause + time.Minute
		require.Equal(t, []time.Duration{0, fetchPause, fetchPause, 2 * fetchPause, late}, conn.at)
	})
}
