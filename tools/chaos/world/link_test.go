package world

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers each line with the name and the line, and returns its address.
func echo(t *testing.T, name string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					_, _ = conn.Write([]byte(name + " " + lines.Text() + "\n"))
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// ask sends a line on a new connection and returns the answer, "" when none comes within a moment.
func ask(l *Link, within time.Duration) string {
	conn, err := net.Dial("tcp", l.Address)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(within))
	_, _ = conn.Write([]byte("hello\n"))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

func TestTroubleOnALink(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	t.Cleanup(n.close)
	for _, trouble := range []Trouble{Reset, Blackhole, HalfOpen, Cut} {
		t.Run(string(trouble), func(t *testing.T) {
			t.Parallel()
			l, err := newNetwork().link("test", door{behind: echo(t, "one")})
			require.NoError(t, err)
			require.Equal(t, "one hello\n", ask(l, 5*time.Second))
			require.NoError(t, l.Break(trouble))
			require.Empty(t, ask(l, 300*time.Millisecond))
			require.NoError(t, l.Mend(t.Context()))
			require.Equal(t, "one hello\n", ask(l, 5*time.Second))
		})
	}
}

func TestASlowLink(t *testing.T) {
	t.Parallel()
	l, err := newNetwork().link("test", door{behind: echo(t, "one")})
	require.NoError(t, err)
	require.NoError(t, l.Break(Slow))
	began := time.Now()
	require.Equal(t, "one hello\n", ask(l, 10*time.Second))
	require.GreaterOrEqual(t, time.Since(began), 2*latencyMS*time.Millisecond)
}

func TestALinkPointedElsewhere(t *testing.T) {
	t.Parallel()
	l, err := newNetwork().link("test", door{behind: echo(t, "one")})
	require.NoError(t, err)
	require.NoError(t, l.Point(t.Context(), echo(t, "two")))
	require.Equal(t, "two hello\n", ask(l, 5*time.Second))
}
