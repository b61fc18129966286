package procs

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
)

// What this test's own binary plays when it is started again as a program.
const role = "PROCS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "serve":
		serve(os.Getenv("ADDRESS"), false)
	case "stubborn":
		serve(os.Getenv("ADDRESS"), true)
	case "fail":
		fmt.Println("the last words")
		os.Exit(3)
	case "parent":
		beParent()
	}
}

// serve answers /readyz until SIGTERM, or until SIGKILL when it is stubborn.
func serve(address string, stubborn bool) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("serving as", os.Getpid())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, os.Getpid())
		}))
	}()
	for {
		<-signals
		if !stubborn {
			fmt.Println("stopped")
			os.Exit(0)
		}
	}
}

// beParent starts a program, says its id, and waits to be killed.
func beParent() {
	p, err := Start(context.Background(), Spec{
		Name: "child", Binary: os.Args[0], Env: []string{role + "=serve"}, Log: os.Getenv("CHILD_LOG"), Ready: "http://" + os.Getenv("ADDRESS"),
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("child", p.PID())
	select {}
}

func program(t *testing.T, plays string) Spec {
	t.Helper()
	address, err := FreeAddress()
	require.NoError(t, err)
	return Spec{
		Name: plays, Binary: os.Args[0], Env: []string{role + "=" + plays, "ADDRESS=" + address},
		Log: filepath.Join(t.TempDir(), "log"), Ready: "http://" + address + "/readyz",
	}
}

func start(t *testing.T, spec Spec) *Process {
	t.Helper()
	p, err := Start(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

// answers returns what the program at the spec's address says, or "" when it does not answer within a moment.
func answers(spec Spec, within time.Duration) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: within}
	response, err := client.Get(spec.Ready)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	return string(body)
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, 10*time.Millisecond, what)
}

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	spec := program(t, "serve")
	p := start(t, spec)
	require.Equal(t, strconv.Itoa(p.PID()), answers(spec, 5*time.Second))
	require.ErrorContains(t, p.Restart(t.Context()), "it runs already")
	now, peak, err := p.Memory()
	require.NoError(t, err)
	require.Greater(t, now, int64(1<<20))
	require.GreaterOrEqual(t, peak, now)

	require.NoError(t, p.Stop())
	<-p.Exited()
	require.NoError(t, p.Stop()) // it has ended well
	require.Contains(t, tail(p.Log()), "stopped")
	_, _, err = p.Memory()
	require.Error(t, err)
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	spec := program(t, "serve")
	p := start(t, spec)
	first := p.PID()
	require.NoError(t, p.Kill())
	require.Empty(t, answers(spec, time.Second))
	require.ErrorContains(t, p.Stop(), "killed")
	require.NoError(t, p.Restart(t.Context()))
	require.NotEqual(t, first, p.PID())
	require.Equal(t, strconv.Itoa(p.PID()), answers(spec, 5*time.Second))
	require.NoError(t, p.Stop())
	require.Equal(t, 2, strings.Count(tail(p.Log()), "serving as"))
}

func TestALifeWithMoreEnvironment(t *testing.T) {
	t.Parallel()
	spec := program(t, "serve")
	p := start(t, spec)
	require.Nil(t, p.Ending())
	require.ErrorContains(t, p.Relaunch(), "it runs already")
	require.NoError(t, p.Kill())
	require.False(t, p.Ending().Exited(), "it was killed")

	require.NoError(t, p.Relaunch(role+"=fail"))
	<-p.Exited()
	require.Equal(t, 3, p.Ending().ExitCode())
	require.ErrorContains(t, p.AwaitReady(t.Context()), "the last words")

	require.NoError(t, p.Relaunch())
	require.NoError(t, p.AwaitReady(t.Context()))
	require.Equal(t, strconv.Itoa(p.PID()), answers(spec, 5*time.Second))
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	spec := program(t, "serve")
	p := start(t, spec)
	require.NoError(t, p.Pause())
	await(t, "it is frozen", func() bool { return answers(spec, 50*time.Millisecond) == "" })
	require.NoError(t, p.Resume())
	require.Equal(t, strconv.Itoa(p.PID()), answers(spec, 5*time.Second))
	require.NoError(t, p.Stop())
}

func TestAnEarlyEndIsAnError(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), program(t, "fail"))
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "the last words")

	missing := program(t, "serve")
	missing.Binary = filepath.Join(t.TempDir(), "missing")
	_, err = Start(t.Context(), missing)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestNotReadyIsAnError(t *testing.T) {
	t.Parallel()
	spec := program(t, "serve")
	nobody, err := FreeAddress()
	require.NoError(t, err)
	reachable := spec.Ready
	spec.Ready = "http://" + nobody
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err = Start(ctx, spec)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	spec.Ready = reachable
	require.Empty(t, answers(spec, time.Second)) // it was not left behind
}

// TestNoAddressIsGivenOutTwice to a program and to a store of a test: there is one count, in which each takes the next.
func TestNoAddressIsGivenOutTwice(t *testing.T) {
	t.Parallel()
	number := func(port string) int {
		n, err := strconv.Atoi(port)
		require.NoError(t, err)
		return n
	}
	next := func() int {
		address, err := FreeAddress()
		require.NoError(t, err)
		_, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		return number(port)
	}
	first, between, last := next(), number(testenv.FreePort(t)), next()
	since := func(port int) int { return (port - first + 10_000) % 10_000 } // the ports go round
	require.Positive(t, since(between))
	require.Less(t, since(between), since(last))
}

func TestRunToTheEnd(t *testing.T) {
	t.Parallel()
	output, code, err := Run(t.Context(), program(t, "fail"))
	require.NoError(t, err)
	require.Equal(t, 3, code)
	require.Equal(t, "the last words\n", output)
}

func TestARunIsCutShort(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	spec := program(t, "serve")
	go func() {
		for ctx.Err() == nil && answers(spec, time.Second) == "" {
			<-time.After(readyPoll)
		}
		cancel()
	}()
	output, _, err := Run(ctx, spec)
	require.ErrorIs(t, err, context.Canceled)
	require.Contains(t, output, "stopped", "it ended in order")

	soon, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	_, _, err = Run(soon, Spec{Name: "sleep", Binary: "/bin/sleep", Args: []string{"60"}})
	require.ErrorIs(t, err, context.DeadlineExceeded, "it died of the signal")
}

func TestProgramsDieWithTheirParent(t *testing.T) {
	t.Parallel()
	spec := program(t, "parent")
	spec.Ready = ""
	spec.Env = append(spec.Env, "CHILD_LOG="+filepath.Join(t.TempDir(), "log"))
	parent := start(t, spec)
	child := 0
	await(t, "the child was started", func() bool {
		n, _ := fmt.Sscanf(tail(parent.Log()), "child %d", &child)
		return n == 1
	})
	require.NoError(t, syscall.Kill(child, 0))
	require.NoError(t, parent.Kill())
	await(t, "the child is gone", func() bool { return gone(child) })
}

// gone reports whether a process has ended; it may still wait to be reaped.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestStoresFrom(t *testing.T) {
	t.Parallel()
	_, err := StoresFrom(func(name string) string { return map[string]string{"REDIS_URL": "r"}[name] })
	require.EqualError(t, err, "KAFKA_BROKERS is not set\nMYSQL_DSN is not set")
}
