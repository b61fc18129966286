package service

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seonchak/seonchak/pkg/env"
)

// adminDrain is short: nothing but operators and probes is left when the admin listener stops.
const adminDrain = 3 * time.Second

// AdminOptions says what the admin listener offers.
type AdminOptions struct {
	Address      env.Address // ADMIN_ADDR
	LoopbackOnly bool        // nobody is authenticated: only this machine may connect, and no page of a browser here
	PProf        bool        // serve /debug/pprof/
	Logger       *slog.Logger
}

// Admin is the listener for operators, probes and Prometheus: /livez, /readyz, /metrics and what Handle adds. Readiness
// says only that the start is done and the stop has not begun. It does not turn red because a store is away, or a
// balancer would take every server out of the fallback.
type Admin struct {
	*HTTPServer
	Metrics *prometheus.Registry // holds the Go and process collectors; the program adds its own

	mux     *http.ServeMux
	ready   atomic.Bool
	drained atomic.Bool // never taken back: a start that ends during the stop must not make us ready again
}

// NewAdmin opens the admin listener. It answers once it is served, even before the start is done. An address that others
// can reach is an env.Mistake when only loopback is allowed.
func NewAdmin(ctx context.Context, options AdminOptions) (*Admin, error) {
	address := options.Address
	if options.LoopbackOnly {
		confined, err := address.OnLoopback()
		if err != nil {
			return nil, env.Mistake{Variable: "ADMIN_ADDR", Value: string(address), Problem: err.Error()}
		}
		address = confined
	}
	admin := &Admin{Metrics: newRegistry(), mux: http.NewServeMux()}
	admin.routes(options.PProf)
	var handler http.Handler = admin.mux
	if options.LoopbackOnly {
		handler = sameMachine(admin.mux)
	}
	server, err := Listen(ctx, HTTPOptions{
		Name: "admin listener", Address: address, Handler: handler, Logger: options.Logger, Drain: adminDrain,
	})
	if err != nil {
		return nil, err
	}
	admin.HTTPServer = server
	return admin, nil
}

// Handle mounts handler at a pattern of http.ServeMux, at any time.
func (a *Admin) Handle(pattern string, handler http.Handler) { a.mux.Handle(pattern, handler) }

// Ready turns /readyz to 200, unless the stop has begun.
func (a *Admin) Ready() { a.ready.Store(true) }

// Drain turns /readyz to 503 for good and waits, at most until ctx ends, for balancers to notice.
func (a *Admin) Drain(ctx context.Context, wait time.Duration) error {
	a.drained.Store(true)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *Admin) routes(profile bool) {
	a.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "live") })
	a.mux.HandleFunc("GET /readyz", a.readyz)
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}))
	if !profile {
		return
	}
	a.mux.HandleFunc("/debug/pprof/", pprof.Index)
	a.mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	a.mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	a.mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	a.mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

func (a *Admin) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case a.drained.Load():
		say(w, http.StatusServiceUnavailable, "draining")
	case !a.ready.Load():
		say(w, http.StatusServiceUnavailable, "starting")
	default:
		say(w, http.StatusOK, "ready")
	}
}

func say(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, word+"\n") // a prober that left needs no answer
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// sameMachine keeps out what a loopback address alone lets in: a web page in a browser on this machine, which may send
// requests across origins, or make its own name resolve to 127.0.0.1.
func sameMachine(next http.Handler) http.Handler {
	protected := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !namesLoopback(r.Host) {
			say(w, http.StatusForbidden, "only for this machine")
			return
		}
		protected.ServeHTTP(w, r)
	})
}

func namesLoopback(authority string) bool {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = strings.Trim(authority, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
