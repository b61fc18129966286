package testenv

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/seonchak/seonchak/pkg/freeport"
)

// RedisServer is a redis-server process of one test, free to be flushed, killed and started again.
type RedisServer struct {
	URL string

	tb   testing.TB
	port string
	dir  string
	args []string
	cmd  *exec.Cmd
}

// PrivateRedis starts a redis-server that belongs to this test alone; args are further settings, such as
// "--maxmemory-policy", "allkeys-lru".
func PrivateRedis(tb testing.TB, args ...string) *RedisServer {
	tb.Helper()
	Redis(tb) // a machine with stores has the binary; a machine without skips here with the usual reason
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("SEONCHAK_REQUIRE_REAL") == "1" {
			tb.Fatal("redis-server is not installed and SEONCHAK_REQUIRE_REAL=1")
		}
		tb.Skip("redis-server is not installed")
	}
	port := FreePort(tb)
	s := &RedisServer{URL: "redis://127.0.0.1:" + port + "/0", tb: tb, port: port, dir: tb.TempDir(), args: args}
	s.Start()
	tb.Cleanup(s.Kill)
	return s
}

// Start starts the server, again after a Kill, on the same port with whatever its directory holds, and waits until it
// accepts connections.
func (s *RedisServer) Start() {
	s.tb.Helper()
	args := append([]string{"--bind", "127.0.0.1", "--port", s.port, "--dir", s.dir, "--save", ""}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, 100*time.Millisecond)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			s.tb.Fatalf("redis-server on port %s does not answer: %v", s.port, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Kill ends the server with SIGKILL: what it had not written is lost.
func (s *RedisServer) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// FreePort returns a loopback port on which nobody listens.
func FreePort(tb testing.TB) string {
	tb.Helper()
	port, err := freeport.Next()
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
