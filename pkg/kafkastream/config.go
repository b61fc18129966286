package kafkastream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Config says how to reach the brokers. Brokers are host:port; any one that answers is enough to begin with.
type Config struct {
	Brokers       []string
	TLS           bool   // with the system's certificate authorities, TLS 1.2 or newer
	SASLMechanism string // "" for none, or PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
	SASLUsername  string
	SASLPassword  string
	ClientID      string // shown in the broker's logs and quotas

	dial func(ctx context.Context, network, address string) (net.Conn, error) // how to reach a broker; tests put a proxy here
}

const (
	dialTimeout = 2 * time.Second
	metadataTTL = 2 * time.Second // a new leader is learnt within it
	idleTimeout = 9 * time.Minute // the broker closes at 10

	// silence is how long a connection may wait for a byte where the library sets no deadline.
	silence = 5 * time.Second
)

// Validate returns every mistake in the configuration, joined.
func (c Config) Validate() error {
	var mistakes []error
	if len(c.Brokers) == 0 {
		mistakes = append(mistakes, errors.New("no Kafka broker is named"))
	}
	for _, broker := range c.Brokers {
		if _, _, err := net.SplitHostPort(broker); err != nil {
			mistakes = append(mistakes, fmt.Errorf("broker %q is not host:port: %w", broker, err))
		}
	}
	if _, err := c.mechanism(); err != nil {
		mistakes = append(mistakes, err)
	}
	return errors.Join(mistakes...)
}

func (c Config) mechanism() (sasl.Mechanism, error) {
	switch c.SASLMechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Mechanism{Username: c.SASLUsername, Password: c.SASLPassword}, nil
	case scram.SHA256.Name():
		return scram.Mechanism(scram.SHA256, c.SASLUsername, c.SASLPassword)
	case scram.SHA512.Name():
		return scram.Mechanism(scram.SHA512, c.SASLUsername, c.SASLPassword)
	default:
		return nil, fmt.Errorf("the SASL mechanism %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", c.SASLMechanism)
	}
}

// sasl returns the mechanism; one that cannot be built refuses every connection with the reason, so that a wrong
// configuration is never taken for "no authentication".
func (c Config) sasl() sasl.Mechanism {
	mechanism, err := c.mechanism()
	if err != nil {
		return refusing{c.SASLMechanism, err}
	}
	return mechanism
}

type refusing struct {
	name string
	err  error
}

func (r refusing) Name() string { return r.name }

func (r refusing) Start(context.Context) (sasl.StateMachine, []byte, error) { return nil, nil, r.err }

func (c Config) tls() *tls.Config {
	if !c.TLS {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12}
}

// transport returns a pool of connections. It keeps the metadata of the topics named fresh, or of all when none is.
func (c Config) transport(topics ...string) *kafka.Transport {
	return &kafka.Transport{
		Dial:           c.connectImpatiently,
		DialTimeout:    dialTimeout,
		IdleTimeout:    idleTimeout,
		MetadataTTL:    metadataTTL,
		MetadataTopics: topics,
		ClientID:       c.ClientID,
		TLS:            c.tls(),
		SASL:           c.sasl(),
	}
}

// dialer returns what a Reader connects with.
func (c Config) dialer() *kafka.Dialer {
	return &kafka.Dialer{
		ClientID:      c.ClientID,
		Timeout:       dialTimeout,
		DialFunc:      c.connectUnhurriedly,
		TLS:           c.tls(),
		SASLMechanism: c.sasl(),
	}
}

func (c Config) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if c.dial != nil {
		return c.dial(ctx, network, address)
	}
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return dialer.DialContext(ctx, network, address)
}

func (c Config) connectImpatiently(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return impatient{conn}, nil
}

func (c Config) connectUnhurriedly(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &unhurried{Conn: conn}, nil
}

// unhurried is a connection that fetches at most once in fetchPause. A reader asks for a partition again as soon as it was
// answered, and would fetch nearly every produced batch by itself; while it waits here, more of them gather. Where little
// comes it waits for nothing: the request lies at the broker, which answers with the first record.
type unhurried struct {
	net.Conn
	fetched time.Time // one goroutine at a time writes requests
}

const fetchPause = 40 * time.Millisecond

func (c *unhurried) Write(request []byte) (int, error) {
	if isFetch(request) {
		<-time.After(time.Until(c.fetched.Add(fetchPause)))
		c.fetched = time.Now()
	}
	return c.Conn.Write(request)
}

// isFetch reports whether bytes begin a fetch request: its length, four bytes, then its kind, two.
func isFetch(request []byte) bool {
	const fetch = 1
	return len(request) >= 6 && binary.BigEndian.Uint16(request[4:]) == fetch
}

// impatient is a connection on which nothing waits for ever. The transport lifts its deadline before the SASL handshake,
// so a broker that stops answering there would stop the pool's discovery of leaders until the process ends. Between
// requests nobody reads, so the deadline harms no idle connection: each request sets its own.
type impatient struct{ net.Conn }

func (c impatient) SetDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(silence)
	}
	return c.Conn.SetDeadline(t)
}
