package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/procs"
)

// k6 returns the program that make test and make bin/tools/k6 install.
func k6(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("../bin/tools/k6-*")
	require.NoError(t, err)
	require.Len(t, found, 1, "k6 is installed by: make k6")
	return found[0]
}

// runK6 runs a script of the repository and returns its counters.
func runK6(t *testing.T, server *procs.APIServer, script string, env ...string) (counts map[string]int, err error) {
	t.Helper()
	summary := filepath.Join(t.TempDir(), "summary.json")
	command := exec.CommandContext(context.WithoutCancel(t.Context()), k6(t), "run", "--quiet", "--no-usage-report",
		"--address=", "--summary-export="+summary, filepath.Join("..", script))
	command.Env = append(append(os.Environ(), "URL="+server.URL, "ADMIN="+server.Admin), env...)
	output, err := command.CombinedOutput()
	t.Logf("%s: %s", script, output)
	content, readErr := os.ReadFile(summary)
	require.NoError(t, readErr, "it ended with: %v", err)
	var told struct {
		Metrics map[string]struct{ Count, Passes, Fails int }
	}
	require.NoError(t, json.Unmarshal(content, &told))
	counts = map[string]int{"passed": told.Metrics["checks"].Passes, "failed": told.Metrics["checks"].Fails}
	for _, name := range []string{"accepted", "sold_out", "granted", "replayed", "refused"} {
		if metric, counted := told.Metrics[name]; counted {
			counts[name] = metric.Count
		}
	}
	return counts, err
}

// TestK6 runs the scripts for teams that use k6 against a real server, and sees them fail where they must.
func TestK6(t *testing.T) {
	t.Parallel()
	s := newSite(t, fastPrograms(t), sharedStores(t))
	server := s.apiServer()
	s.consumer()

	counts, err := runK6(t, server, "scripts/k6/drop.js", "COUPONS=50", "USERS=500", "AT_ONCE=32")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"passed": 500, "failed": 0, "accepted": 50, "sold_out": 450}, counts)
	counts, err = runK6(t, server, "scripts/k6/double-click.js")
	require.NoError(t, err)
	require.Equal(t, 3, counts["passed"])
	var rows int
	await(t, "the rows of both", func() bool {
		require.NoError(t, s.db.QueryRow(`SELECT COUNT(*) FROM coupons`).Scan(&rows))
		return rows == 51
	})

	liar := lie(t, server)
	counts, err = runK6(t, liar, "scripts/k6/drop.js", "COUPONS=5", "USERS=20", "AT_ONCE=4")
	require.Error(t, err)
	require.Positive(t, counts["failed"])
	_, err = runK6(t, liar, "scripts/k6/double-click.js")
	require.Error(t, err)
}

// TestK6OnAGuard runs the lab's script against a strategy that refuses a repeat, and cannot replay it.
func TestK6OnAGuard(t *testing.T) {
	t.Parallel()
	const script = "tools/lab/double-click.js"
	guard := labUp(t, "redis-setnx")
	counts, err := runK6(t, guard, script, "OTHERS=409")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"passed": 2, "failed": 0, "granted": 1, "replayed": 0, "refused": 49}, counts)
	_, err = runK6(t, guard, script)
	require.Error(t, err)
}

// labUp serves a strategy of the lab until the test ends. Its guards outlast the test.
func labUp(t *testing.T, strategy string) *procs.APIServer {
	t.Helper()
	sharedStores(t)
	dir := t.TempDir()
	binary, log := filepath.Join(dir, "lab"), filepath.Join(dir, "lab.log")
	output, err := exec.Command("go", "-C", "../tools/lab", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	lab, err := procs.Start(t.Context(), procs.Spec{Name: "lab", Binary: binary, Args: []string{"up", strategy, "--lease", "1h"}, Log: log})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Stop()) })
	var url string
	await(t, "the address of the strategy", func() bool {
		content, err := os.ReadFile(log)
		require.NoError(t, err)
		url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(string(content))
		return url != ""
	})
	return &procs.APIServer{URL: url}
}

// lie returns a server before a server that hides from users that an answer is a repeat, and once in a while that all are gone.
func lie(t *testing.T, server *procs.APIServer) *procs.APIServer {
	t.Helper()
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	var answers atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Idempotent-Replayed")
			if r.StatusCode == http.StatusConflict && answers.Add(1)%2 == 0 {
				r.StatusCode = http.StatusOK
			}
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	return &procs.APIServer{URL: proxy.URL, Admin: server.Admin}
}
