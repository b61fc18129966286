package service

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/env"
)

// served starts a server that the returned function stops; it returns what Serve returned.
func served(t *testing.T, options HTTPOptions) (*HTTPServer, func() error) {
	t.Helper()
	options.Name, options.Address, options.Logger = "test listener", "127.0.0.1:0", quiet()
	server, err := Listen(t.Context(), options)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- server.Serve(ctx) }()
	t.Cleanup(cancel)
	return server, func() error {
		cancel()
		return <-result
	}
}

func TestSlowHeadersAreCut(t *testing.T) {
	t.Parallel()
	const limit = 50 * time.Millisecond
	server, stop := served(t, HTTPOptions{Handler: http.NotFoundHandler(), ReadHeaderTimeout: limit})
	conn, err := net.Dial("tcp", server.Addr())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: slow\r\nX-Slow: ")
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, conn.SetReadDeadline(began.Add(readHeaderTimeout*3/4)))
	_, err = io.Copy(io.Discard, conn)
	require.NoError(t, err, "the server closes the connection, not our deadline")
	require.GreaterOrEqual(t, time.Since(began), limit/2)
	require.NoError(t, stop())
}

func TestHugeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	server, stop := served(t, HTTPOptions{Handler: http.NotFoundHandler()})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Addr(), http.NoBody)
	require.NoError(t, err)
	request.Header.Set("X-Huge", strings.Repeat("x", 64<<10))
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
	require.NoError(t, stop())
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTimeoutsAreSet(t *testing.T) {
	t.Parallel()
	server, stop := served(t, HTTPOptions{Handler: http.NotFoundHandler()})
	require.Equal(t, 2*time.Second, server.server.ReadHeaderTimeout)
	require.Equal(t, 5*time.Second, server.server.ReadTimeout)
	require.Equal(t, 10*time.Second, server.server.WriteTimeout)
	require.Equal(t, 60*time.Second, server.server.IdleTimeout)
	require.Equal(t, 16<<10, server.server.MaxHeaderBytes)
	require.NoError(t, stop())
}

func TestStopWaitsForRequestsInHand(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	server, stop := served(t, HTTPOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		say(w, http.StatusOK, "kept")
	})})
	answer := make(chan string, 1)
	go func() {
		_, body, err := fetch(t.Context(), "http://"+server.Addr())
		answer <- body + said(err)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	<-server.Draining()
	await(t, func() bool {
		conn, err := net.Dial("tcp", server.Addr())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	require.Empty(t, stopped, "it waits for the request")
	close(release)
	require.Equal(t, "kept\n", <-answer)
	require.NoError(t, <-stopped)
}

func TestStopCutsRequestsAtItsDeadline(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	server, stop := served(t, HTTPOptions{
		Drain: 20 * time.Millisecond,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		}),
	})
	conn, err := net.Dial("tcp", server.Addr())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	<-entered
	require.ErrorContains(t, stop(), "requests not done within 20ms")
	_, err = bufio.NewReader(conn).ReadByte()
	require.Error(t, err)
}

func TestStreamsEndWhenTheServerDrains(t *testing.T) {
	t.Parallel()
	var server *HTTPServer
	entered := make(chan struct{})
	server, stop := served(t, HTTPOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-server.Draining()
		say(w, http.StatusOK, "bye")
	})})
	answer := make(chan string, 1)
	go func() {
		_, body, err := fetch(t.Context(), "http://"+server.Addr())
		answer <- body + said(err)
	}()
	<-entered
	require.NoError(t, stop())
	require.Equal(t, "bye\n", <-answer)
}

func TestATakenPortIsAnErrorOfTheStart(t *testing.T) {
	t.Parallel()
	server, stop := served(t, HTTPOptions{Handler: http.NotFoundHandler()})
	_, err := Listen(t.Context(), HTTPOptions{
		Name: "public listener", Address: env.Address(server.Addr()), Handler: http.NotFoundHandler(), Logger: quiet(),
	})
	require.ErrorContains(t, err, "open public listener")
	require.NoError(t, stop())
}
