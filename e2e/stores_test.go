package e2e

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/procs"
)

// privateStore is a server of one test, free to be stopped, frozen and started again.
type privateStore struct {
	tb   testing.TB
	name string // redis, kafka or mysql
	dir  string
}

// newPrivateStore starts a server and returns the stores with its address in the place of the shared one.
func newPrivateStore(tb testing.TB, name string, stores procs.Stores) (*privateStore, procs.Stores) {
	tb.Helper()
	p := &privateStore{tb: tb, name: name, dir: tb.TempDir()}
	tb.Cleanup(func() { p.script("down", "--wipe") })
	p.script("up", name)
	for line := range strings.Lines(p.script("env")) {
		variable, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
		value = strings.Trim(value, "'")
		switch variable {
		case "KAFKA_BROKERS":
			stores.Kafka = value
		case "MYSQL_DSN":
			stores.MySQL = value
		}
	}
	return p, stores
}

func (p *privateStore) stop()  { p.script("stop", p.name) }
func (p *privateStore) start() { p.script("start", p.name) }

// freeze leaves the server's connections open, and nothing answers until thaw.
func (p *privateStore) freeze() { p.signal(syscall.SIGSTOP) }
func (p *privateStore) thaw()   { p.signal(syscall.SIGCONT) }

// signal reaches the server and the `timeout` above it: they are one process group.
func (p *privateStore) signal(signal syscall.Signal) {
	p.tb.Helper()
	file, err := os.ReadFile(p.dir + "/" + p.name + "/native/pid")
	require.NoError(p.tb, err)
	var group int
	_, err = fmt.Sscan(string(file), &group)
	require.NoError(p.tb, err)
	require.NoError(p.tb, syscall.Kill(-group, signal))
}

// script runs scripts/services.sh for this server alone: the addresses of the shared ones would be taken before one of
// its own.
func (p *privateStore) script(args ...string) string {
	p.tb.Helper()
	cmd := exec.Command("../scripts/services.sh", args...)
	cmd.Env = append(os.Environ(), "SEONCHAK_SERVICES_DIR="+p.dir, "SEONCHAK_SERVICES=native",
		"SEONCHAK_SERVICES_MAX_AGE=15m", // should this process die before it ends them
		"REDIS_URL=", "KAFKA_BROKERS=", "MYSQL_DSN=")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	output, err := cmd.Output()
	require.NoError(p.tb, err, "services.sh %s: %s", strings.Join(args, " "), complaints.String())
	return string(output)
}

// privateRedis starts a Redis of this test alone, free to be killed; what it held is gone when it is started again.
func privateRedis(tb testing.TB) (*testenv.RedisServer, procs.Stores) {
	tb.Helper()
	stores := sharedStores(tb)
	redis := testenv.PrivateRedis(tb)
	stores.Redis = redis.URL
	return redis, stores
}

// road is how a proxy treats its connections.
type road int

const (
	open   road = iota // bytes pass
	closed             // connections are refused, and those there are end
	oneWay             // requests arrive, answers are lost
)

// proxy stands in front of a store and takes it away.
type proxy struct {
	address string // of the proxy
	target  string

	mu       sync.Mutex
	road     road
	listener net.Listener
	conns    map[net.Conn]bool
}

// newProxy returns a proxy in front of the Redis at redisURL, and the URL that leads through it.
func newProxy(tb testing.TB, redisURL string) (*proxy, string) {
	tb.Helper()
	target, err := url.Parse(redisURL)
	require.NoError(tb, err)
	address, err := procs.FreeAddress()
	require.NoError(tb, err)
	p := &proxy{address: address, target: target.Host, conns: map[net.Conn]bool{}}
	p.set(tb, open)
	tb.Cleanup(func() { p.set(tb, closed) })
	target.Host = address
	return p, target.String()
}

// set changes how connections are treated, old ones too.
func (p *proxy) set(tb testing.TB, next road) {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.road = next
	if next == closed {
		if p.listener != nil {
			_ = p.listener.Close()
			p.listener = nil
		}
		for conn := range p.conns {
			_ = conn.Close()
		}
		clear(p.conns)
		return
	}
	if p.listener == nil {
		listener, err := net.Listen("tcp", p.address)
		require.NoError(tb, err)
		p.listener = listener
		go p.accept(listener)
	}
}

func (p *proxy) accept(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(near, far) {
			_ = near.Close()
			continue
		}
		go p.pass(far, near, true)
		go p.pass(near, far, false)
	}
}

func (p *proxy) keep(near, far net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.road == closed {
		_ = far.Close()
		return false
	}
	p.conns[near], p.conns[far] = true, true
	return true
}

// pass copies bytes until a side ends. A connection on which an answer was lost stays mute: what comes later must not be
// taken for that answer.
func (p *proxy) pass(to, from net.Conn, request bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 64<<10)
	lost := false
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		lost = lost || !request && p.road == oneWay
		p.mu.Unlock()
		if lost {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
