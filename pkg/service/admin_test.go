package service

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/env"
)

func servedAdmin(t *testing.T, options AdminOptions) *Admin {
	t.Helper()
	options.Logger = quiet()
	admin, err := NewAdmin(t.Context(), options)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- admin.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-stopped)
	})
	return admin
}

func TestReadinessFollowsStartAndStopOnly(t *testing.T) {
	t.Parallel()
	admin := servedAdmin(t, AdminOptions{Address: "127.0.0.1:0"})
	url := "http://" + admin.Addr()
	require.Equal(t, http.StatusOK, status(t, url+"/livez"), "alive while it starts")
	require.Equal(t, http.StatusServiceUnavailable, status(t, url+"/readyz"))
	admin.Ready()
	require.Equal(t, http.StatusOK, status(t, url+"/readyz"))
	require.NoError(t, admin.Drain(t.Context(), time.Millisecond))
	code, body := get(t, url+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "draining\n", body)
	admin.Ready()
	require.Equal(t, http.StatusServiceUnavailable, status(t, url+"/readyz"), "a late start does not take it back")
	require.Equal(t, http.StatusOK, status(t, url+"/livez"))
}

func TestReadinessTurnsOffBeforeAnythingStops(t *testing.T) {
	t.Parallel()
	ctx, signal := context.WithCancel(t.Context())
	ready, seen := make(chan *Admin, 1), make(chan struct{})
	stopped := make(chan error, 1)
	go func() {
		stopped <- Run(ctx, quiet(), func(ctx context.Context, group *Group) error {
			admin, err := NewAdmin(ctx, AdminOptions{Address: "127.0.0.1:0", Logger: quiet()})
			if err != nil {
				return err
			}
			group.Serve(admin.HTTPServer)
			group.OnStop("requests", 10*time.Second, func(ctx context.Context) error {
				select {
				case <-seen:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			group.Ready(admin, time.Millisecond)
			ready <- admin
			return nil
		})
	}()
	url := "http://" + (<-ready).Addr() + "/readyz"
	require.Equal(t, http.StatusOK, status(t, url))
	signal()
	await(t, func() bool { return status(t, url) == http.StatusServiceUnavailable })
	close(seen)
	require.NoError(t, <-stopped)
}

func TestDrainIsCutByItsContext(t *testing.T) {
	t.Parallel()
	var admin Admin
	require.ErrorIs(t, admin.Drain(cancelledContext(), time.Hour), context.Canceled)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	admin := servedAdmin(t, AdminOptions{Address: "127.0.0.1:0"})
	applies := prometheus.NewCounter(prometheus.CounterOpts{Name: "coupon_applies_total", Help: "applies"})
	admin.Metrics.MustRegister(applies)
	applies.Inc()
	code, body := get(t, "http://"+admin.Addr()+"/metrics")
	require.Equal(t, http.StatusOK, code)
	for _, want := range []string{"go_goroutines ", "process_open_fds ", "coupon_applies_total 1"} {
		require.Contains(t, body, want)
	}
}

func TestPProfIsOptional(t *testing.T) {
	t.Parallel()
	with := servedAdmin(t, AdminOptions{Address: "127.0.0.1:0", PProf: true})
	without := servedAdmin(t, AdminOptions{Address: "127.0.0.1:0"})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
		require.Equal(t, http.StatusOK, status(t, "http://"+with.Addr()+path), path)
		require.Equal(t, http.StatusNotFound, status(t, "http://"+without.Addr()+path), path)
	}
}

func TestHandlersCanBeMountedWhileServing(t *testing.T) {
	t.Parallel()
	admin := servedAdmin(t, AdminOptions{Address: "127.0.0.1:0"})
	url := "http://" + admin.Addr() + "/admin/v1/campaigns"
	require.Equal(t, http.StatusNotFound, status(t, url))
	admin.Handle("/admin/v1/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say(w, http.StatusOK, r.URL.Path)
	}))
	code, body := get(t, url)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "/admin/v1/campaigns\n", body)
}

func TestLoopbackOnly(t *testing.T) {
	t.Parallel()
	_, err := NewAdmin(t.Context(), AdminOptions{Address: "0.0.0.0:0", LoopbackOnly: true, Logger: quiet()})
	var mistake env.Mistake
	require.ErrorAs(t, err, &mistake)
	require.EqualError(t, err, `ADMIN_ADDR="0.0.0.0:0": must be a loopback address, such as 127.0.0.1:8081`)

	admin := servedAdmin(t, AdminOptions{Address: ":0", LoopbackOnly: true})
	require.Regexp(t, `^127\.0\.0\.1:\d+$`, admin.Addr())
	admin.Handle("POST /admin/v1/campaigns", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusCreated, "made")
	}))
	for _, c := range []struct {
		name, host, site string
		want             int
	}{
		{"a tool", "", "", http.StatusCreated},
		{"a tool by name", "localhost:8081", "", http.StatusCreated},
		{"IPv6", "[::1]", "", http.StatusCreated},
		{"our own page", "", "same-origin", http.StatusCreated},
		{"another site's page", "", "cross-site", http.StatusForbidden},
		{"a name made to point here", "evil.example:8081", "same-origin", http.StatusForbidden},
	} {
		require.Equal(t, c.want, post(t, "http://"+admin.Addr()+"/admin/v1/campaigns", c.host, c.site), c.name)
	}
}

func post(t *testing.T, url, host, site string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
	require.NoError(t, err)
	request.Host = host
	if site != "" {
		request.Header.Set("Sec-Fetch-Site", site)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}
