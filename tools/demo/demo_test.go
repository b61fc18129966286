package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/procs"
)

// environment returns the variables of the stores under test, and more.
func environment(t *testing.T, more map[string]string) func(string) string {
	t.Helper()
	variables := map[string]string{
		"REDIS_URL": testenv.Redis(t), "KAFKA_BROKERS": strings.Join(testenv.Kafka(t), ","), "MYSQL_DSN": testenv.MySQL(t),
	}
	return func(name string) string {
		if value, ok := more[name]; ok {
			return value
		}
		return variables[name]
	}
}

// build returns a folder with the three programs of this source tree.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range []string{"api-server", "consumer", "batch"} {
		command := exec.Command("go", "build", "-o", filepath.Join(dir, program), ".")
		command.Dir = filepath.Join("..", "..", program)
		output, err := command.CombinedOutput()
		require.NoError(t, err, "build %s: %s", program, output)
	}
	return dir
}

func TestDemo(t *testing.T) {
	t.Parallel()
	getenv := environment(t, nil)
	arguments := []string{"--bin", build(t), "--logs", t.TempDir(), "--users", "200", "--applies", "600", "--limit", "50", "--connections", "32", "--seed", "7"}

	t.Run("exactly as many", func(t *testing.T) {
		t.Parallel()
		var out, progress bytes.Buffer
		require.NoError(t, run(t.Context(), arguments, getenv, &out, &progress), &out)
		for _, figure := range []string{
			"limit 50", "issued 50", "over 0", "under 0", "twice 0", "lost 0", "failed 0", "wrong 0", "phantom 0", "unordered 0",
			"gaps 0", "miscounted 0", "applies 600", "unknown 0",
		} {
			require.Contains(t, out.String(), "\n"+figure+"\n")
		}
		require.Regexp(t, `\napplies_per_s [1-9][0-9,]*\np50_ms [0-9.]+\np99_ms [0-9.]+\n`, out.String())
		require.Contains(t, out.String(), "--seed 7")
		require.Contains(t, progress.String(), "applies 600 of 600\n")
	})

	t.Run("a broken promise is seen", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		err := run(t.Context(), append(arguments, "--fault", "delete-row"), getenv, &out, io.Discard)
		require.ErrorIs(t, err, errWrong)
		require.Contains(t, out.String(), "\nissued 49\n")
		require.Contains(t, out.String(), "\nlost 1\n")
		require.Equal(t, 1, exitCode(err, io.Discard))
	})

	t.Run("it stays as long as it is wanted", func(t *testing.T) {
		t.Parallel()
		staying(t, arguments, environment(t, map[string]string{"DEMO_STAY": "1"}))
	})

	t.Run("it can be interrupted", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		seen := writer(func(line []byte) {
			if bytes.HasPrefix(line, []byte("crowd")) {
				cancel()
			}
		})
		err := run(ctx, arguments, getenv, seen, io.Discard)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 1, exitCode(err, io.Discard))
	})
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// staying runs a demo that stays, tries the commands that it prints, and interrupts it.
func staying(t *testing.T, arguments []string, getenv func(string) string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, arguments, getenv, write, io.Discard)
		_ = write.Close()
		ended <- err
	}()
	lines := bufio.NewScanner(read)
	var commands []string
	for len(commands) < 5 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "  curl ") {
			commands = append(commands, lines.Text())
		}
	}
	require.Len(t, commands, 5)
	for i, want := range []string{
		`"availability":"sold_out"`, `"code":"sold_out"`, `"object":"claim"`, `"status":"issued"`, `"issued":50`,
	} {
		// The public view of the stock is up to a second old.
		require.Eventually(t, func() bool { return strings.Contains(curl(t, commands[i]), want) }, 10*time.Second, 50*time.Millisecond, commands[i])
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, read) }()
	require.NoError(t, <-ended)
}

// curl does what one of the printed command lines would do.
func curl(t *testing.T, line string) string {
	t.Helper()
	parts := regexp.MustCompile(`curl -s( -X POST)?( -H 'X-User-Id: ([^']+)')? (http://\S+)$`).FindStringSubmatch(line)
	require.NotNil(t, parts, line)
	method := http.MethodGet
	if parts[1] != "" {
		method = http.MethodPost
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, parts[4], http.NoBody)
	require.NoError(t, err)
	request.Header.Set("X-User-Id", parts[3])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body) // half an answer is not the wanted one either
	return string(body)
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	nothing := func(string) string { return "" }
	cases := map[string]struct {
		arguments []string
		want      string
	}{
		"no stores":     {nil, "REDIS_URL is not set"},
		"no users":      {[]string{"--users", "0"}, "--users must be at least 1"},
		"unknown fault": {[]string{"--fault", "flood"}, "only delete-row is known"},
		"extra word":    {[]string{"now"}, `unexpected ["now"]`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), c.arguments, nothing, io.Discard, io.Discard)
			require.ErrorContains(t, err, c.want)
		})
	}
	err := run(t.Context(), []string{"--help"}, nothing, io.Discard, io.Discard)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Zero(t, exitCode(err, io.Discard))
	require.Equal(t, 1, exitCode(errors.New("x"), io.Discard))
}

func TestWhichStores(t *testing.T) {
	t.Parallel()
	stores := procs.Stores{Redis: "redis://:secret@r1:1/0,redis://r2:2/0", Kafka: "k:3", MySQL: testenv.MySQL(t)}
	words := describe(t.Context(), stores, "")
	require.Contains(t, words, "redis r1:1,r2:2, kafka k:3, database ")
	require.NotContains(t, words, "secret")
	require.NotContains(t, words, "does not answer")
	require.Contains(t, describe(t.Context(), stores, "redis miniredis v2 embedded"), "WARNING")
	stores.MySQL = "root:secret@tcp(127.0.0.1:1)/x"
	require.NotContains(t, describe(t.Context(), stores, ""), "secret")
}
