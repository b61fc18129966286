package kafkastream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/testenv"
)

const room = 2000 // in flight, as the api-server's default

func claimOf(i int) coupon.Claim {
	return coupon.Claim{
		Key:       coupon.Key{Campaign: "winter-2026", User: fmt.Sprintf("u-%d", i), N: 1},
		Epoch:     1,
		Serial:    int64(i + 1),
		ClaimedAt: time.UnixMilli(1_796_094_000_000 + int64(i)).UTC(),
	}
}

func claimsOf(n int) []coupon.Claim {
	claims := make([]coupon.Claim, n)
	for i := range claims {
		claims[i] = claimOf(i)
	}
	return claims
}

func realBroker(tb testing.TB) Config { return Config{Brokers: testenv.Kafka(tb), ClientID: "test"} }

// producer returns a producer that is closed when the test ends.
func producer(tb testing.TB, cfg Config, topic string, inFlight int) *Producer {
	tb.Helper()
	p := NewProducer(cfg, topic, inFlight)
	tb.Cleanup(func() {
		ctx, cancel := within(10 * time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

func reader(tb testing.TB, cfg Config, group, topic string) *Reader {
	tb.Helper()
	r := NewReader(cfg, group, topic, slog.New(slog.DiscardHandler))
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

func admin(tb testing.TB) *Admin {
	tb.Helper()
	a := NewAdmin(realBroker(tb))
	tb.Cleanup(a.Close)
	return a
}

func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// publish sends a claim and waits for the answer.
func publish(p *Producer, claim coupon.Claim, patience time.Duration) error {
	answer := make(chan error, 1)
	p.Publish(claim, time.Now().Add(patience), func(err error) { answer <- err })
	return <-answer
}

// fetch reads n records.
func fetch(tb testing.TB, r *Reader, n int) []Record {
	tb.Helper()
	ctx, cancel := within(60 * time.Second)
	defer cancel()
	records := make([]Record, n)
	for i := range records {
		var err error
		records[i], err = r.Fetch(ctx)
		require.NoError(tb, err, "record %d of %d", i, n)
	}
	return records
}

func decode(tb testing.TB, r Record) coupon.Claim {
	tb.Helper()
	claim, err := event.Decode(r.Value)
	require.NoError(tb, err)
	return claim
}

func await(tb testing.TB, limit time.Duration, holds func() bool) {
	tb.Helper()
	require.Eventually(tb, holds, limit, 10*time.Millisecond)
}

func drop(a *Admin, topic string) {
	ctx, cancel := within(10 * time.Second)
	defer cancel()
	_, _ = a.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
}

// proxy stands between a client and the broker, and can hold back or cut what passes.
type proxy struct {
	listener net.Listener
	broker   string

	mu    sync.Mutex
	open  chan struct{} // closed while bytes may pass
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

func newProxy(tb testing.TB) *proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p := &proxy{listener: listener, broker: testenv.Kafka(tb)[0], open: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(p.open)
	p.wg.Go(p.serve)
	tb.Cleanup(func() {
		_ = listener.Close()
		p.release()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// config reaches every broker through the proxy, whatever address the metadata names.
func (p *proxy) config() Config {
	return Config{Brokers: []string{p.broker}, dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, p.listener.Addr().String())
	}}
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.broker)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.pipe(client, server) })
		p.wg.Go(func() { p.pipe(server, client) })
	}
}

func (p *proxy) pipe(from, to net.Conn) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		<-p.gate()
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// stall holds every byte back, both ways, on old connections and new ones.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// release lets pass what was held back, and the rest.
func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// refusedAddress is one that nothing listens on.
func refusedAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	require.NoError(tb, listener.Close())
	return listener.Addr().String()
}
