package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serving is a program shaped as the real ones: an admin listener, a public one and a store.
func serving() Program[settings] {
	return program(func(ctx context.Context, config settings, shell Shell) error {
		return Run(ctx, shell.Logger, func(ctx context.Context, group *Group) error {
			admin, err := NewAdmin(ctx, AdminOptions{Address: config.AdminAddr, Logger: shell.Logger})
			if err != nil {
				return err
			}
			group.Serve(admin.HTTPServer)
			group.OnStop("store", time.Second, func(context.Context) error { return nil })
			public, err := Listen(ctx, HTTPOptions{
				Name: "public listener", Address: "127.0.0.1:0", Handler: http.NotFoundHandler(), Logger: shell.Logger,
			})
			if err != nil {
				return err
			}
			group.Serve(public)
			group.Ready(admin, time.Millisecond)
			return nil
		})
	})
}

func TestRealSignalStopsARealProcessInOrder(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": os.Interrupt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said buffer
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), asProgram+"=1", "ADMIN_ADDR=127.0.0.1:0", "LOG_FORMAT=text")
			child.Stderr = &said
			require.NoError(t, child.Start())
			t.Cleanup(func() { _ = child.Process.Kill() })
			await(t, func() bool { return strings.Contains(said.String(), "msg=ready") })

			address := regexp.MustCompile(`name="admin listener" address=(\S+)`).FindStringSubmatch(said.String())
			require.Len(t, address, 2, said.String())
			require.Equal(t, http.StatusOK, status(t, "http://"+address[1]+"/readyz"))

			require.NoError(t, child.Process.Signal(signal))
			require.NoError(t, child.Wait(), "the exit code is 0: %s", said.String())
			steps := regexp.MustCompile(`msg="stop step done" .* step=("[^"]+"|\S+)`).FindAllStringSubmatch(said.String(), -1)
			var order []string
			for _, s := range steps {
				order = append(order, strings.Trim(s[1], `"`))
			}
			require.Equal(t, []string{"readiness", "public listener", "store", "admin listener"}, order)
			require.Contains(t, said.String(), "msg=stopped")
		})
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	code, _ := get(t, url)
	return code
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	code, body, err := fetch(t.Context(), url)
	require.NoError(t, err)
	return code, body
}

// fetch is for goroutines, which must not end a test.
func fetch(ctx context.Context, url string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), errors.Join(err, response.Body.Close())
}

func await(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen within 10 s")
		}
	}
}
