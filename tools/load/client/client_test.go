package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const timeout = 10 * time.Second

func apply(user string) []byte {
	return AppendApply(nil, "shop", "winter", []byte("X-User-Id: "+user+"\r\n"))
}

// served returns a Conn to a server of net/http, and how many connections the server has seen.
func served(t *testing.T, handler http.HandlerFunc) (*Conn, *atomic.Int64) {
	t.Helper()
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := New(Options{Address: server.Listener.Addr().String(), Timeout: timeout})
	t.Cleanup(c.Close)
	return c, &connections
}

func TestTheServerGetsTheApply(t *testing.T) {
	t.Parallel()
	c, connections := served(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.Method, " ", r.Host, r.URL.Path, " ", r.Header.Get("X-User-Id"), " ", len(body))
	})
	for i := range 100 {
		response, err := c.Do(apply(fmt.Sprint("u-", i)))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("POST shop/v1/campaigns/winter/apply u-%d 0", i), string(response.Body))
	}
	require.EqualValues(t, 1, connections.Load())
}

func TestEveryFormOfAnAnswer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 3_000)
	cases := map[string]struct {
		serve http.HandlerFunc
		want  Response
		keeps bool
	}{
		"claim": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/v1/x")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "{}")
		}, Response{Status: 202, Location: true, Body: []byte("{}")}, true},
		"replay": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Idempotent-Replayed", "true")
		}, Response{Status: 200, Replayed: true, Body: []byte{}}, true},
		"refusal": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "busy")
		}, Response{Status: 503, RetryAfter: true, Body: []byte("busy")}, true},
		"chunked": {func(w http.ResponseWriter, _ *http.Request) {
			for part := range strings.SplitSeq("ab,cdef,"+long, ",") {
				_, _ = io.WriteString(w, part)
				w.(http.Flusher).Flush()
			}
		}, Response{Status: 200, Body: []byte("abcdef" + long)}, true},
		"long": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
			_, _ = io.WriteString(w, long)
		}, Response{Status: 200, Body: []byte(long)}, true},
		"no content": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, Response{Status: 204, Body: []byte{}}, true},
		"interim": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "now")
		}, Response{Status: 200, Body: []byte("now")}, true},
		"close": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "bye")
		}, Response{Status: 200, Body: []byte("bye")}, false},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, connections := served(t, want.serve)
			for range 3 {
				got, err := c.Do(apply("u"))
				require.NoError(t, err)
				got.Body = append([]byte{}, got.Body...)
				require.Equal(t, want.want, got)
			}
			if want.keeps {
				require.EqualValues(t, 1, connections.Load())
			} else {
				require.EqualValues(t, 3, connections.Load())
			}
		})
	}
}

func TestAServerThatClosesIsDialledAgain(t *testing.T) {
	t.Parallel()
	c, connections := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-User-Id") == "bad" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "ok")
	})
	_, err := c.Do(apply("bad"))
	require.ErrorIs(t, err, io.EOF)
	response, err := c.Do(apply("good"))
	require.NoError(t, err)
	require.Equal(t, "ok", string(response.Body))
	require.EqualValues(t, 2, connections.Load())
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, err = New(Options{Address: listener.Addr().String(), Timeout: timeout}).Do(apply("u"))
	require.Error(t, err)
}

// said returns what a Conn makes of bytes that a server sends before it closes.
func said(answer string) (Response, error) {
	ours, theirs := net.Pipe()
	go func() {
		_, _ = http.ReadRequest(bufio.NewReader(theirs))
		_, _ = io.WriteString(theirs, answer)
		_ = theirs.Close()
	}()
	c := New(Options{Timeout: timeout, Dial: func() (net.Conn, error) { return ours, nil }})
	defer c.Close()
	return c.Do(apply("u"))
}

func TestHalfAnAnswerIsNone(t *testing.T) {
	t.Parallel()
	whole := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
	for cut := range len(whole) {
		_, err := said(whole[:cut])
		require.Error(t, err, "%q", whole[:cut])
	}
	response, err := said(whole)
	require.NoError(t, err)
	require.Equal(t, "body", string(response.Body))
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
	for cut := range len(chunked) {
		_, err := said(chunked[:cut])
		require.Error(t, err, "%q", chunked[:cut])
	}
	response, err = said(chunked)
	require.NoError(t, err)
	require.Equal(t, "body", string(response.Body))
}

func TestWhatIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*bufferBytes) + "\r\n\r\n",
	} {
		_, err := said(answer)
		require.Error(t, err, "%.60q", answer)
	}
}

func TestABodyWithoutEnd(t *testing.T) {
	t.Parallel()
	c, _ := served(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, longestBody+1)) })
	_, err := c.Do(apply("u"))
	require.ErrorContains(t, err, "longer than")
}

func TestABodyMayEndWithTheConnection(t *testing.T) {
	t.Parallel()
	response, err := said("HTTP/1.0 200 OK\r\n\r\nto the end")
	require.NoError(t, err)
	require.Equal(t, "to the end", string(response.Body))
}

func TestASilentServerTimesOut(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	c := New(Options{Timeout: 20 * time.Millisecond, Dial: func() (net.Conn, error) { return ours, nil }})
	_, err := c.Do(apply("u"))
	var late net.Error
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout())
}

// BenchmarkDo compares the Conn with net/http's client on one server, by turns.
func BenchmarkDo(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 200))
	}))
	defer server.Close()
	b.Run("conn", func(b *testing.B) {
		c := New(Options{Address: server.Listener.Addr().String(), Timeout: timeout})
		defer c.Close()
		request := apply("u-1")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Do(request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net-http", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			request, _ := http.NewRequest(http.MethodPost, server.URL+"/v1/campaigns/winter/apply", http.NoBody)
			request.Header.Set("X-User-Id", "u-1")
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	})
}
