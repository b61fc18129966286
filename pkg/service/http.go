package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/seonchak/seonchak/pkg/env"
)

// The limits of every listener. A handler that streams lifts the write limit of its own response.
const (
	readHeaderTimeout = 2 * time.Second
	readTimeout       = 5 * time.Second
	writeTimeout      = 10 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	drainTimeout      = 12 * time.Second // a little over writeTimeout: after that no ordinary request is left
)

// HTTPOptions says what a server is.
type HTTPOptions struct {
	Name    string // for the log, such as "public listener"
	Address env.Address
	Handler http.Handler
	Logger  *slog.Logger

	ReadHeaderTimeout time.Duration // how long a client may take to send its headers; 0 = 2 s
	Drain             time.Duration // how long requests may take to end when the server stops; 0 = 12 s
}

// HTTPServer is a listener and the server on it.
type HTTPServer struct {
	name     string
	drain    time.Duration
	listener net.Listener
	server   *http.Server
	draining chan struct{}
}

// Listen opens the listener, so a taken port is an error of the start and Addr is known at once.
func Listen(ctx context.Context, options HTTPOptions) (*HTTPServer, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", string(options.Address))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", options.Name, err)
	}
	return &HTTPServer{
		name:     options.Name,
		drain:    orElse(options.Drain, drainTimeout),
		listener: listener,
		server: &http.Server{
			Handler:           options.Handler,
			ReadHeaderTimeout: orElse(options.ReadHeaderTimeout, readHeaderTimeout),
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(options.Logger.Handler(), slog.LevelWarn),
		},
		draining: make(chan struct{}),
	}, nil
}

// Addr returns the host:port that is listened on.
func (s *HTTPServer) Addr() string { return s.listener.Addr().String() }

// Draining is closed when the server begins to stop. A stream must end then, or it holds up the stop until the deadline.
func (s *HTTPServer) Draining() <-chan struct{} { return s.draining }

// Serve serves until ctx ends, then accepts nothing new and waits for the requests in hand. Those still running at the
// deadline are cut and reported as an error. It is called once.
func (s *HTTPServer) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	close(s.draining)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer cancel()
	err := s.server.Shutdown(bounded)
	if err != nil {
		_ = s.server.Close() // its connections are given up; the error below says so
		return fmt.Errorf("requests not done within %s: %w", s.drain, err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func orElse(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return d
}
