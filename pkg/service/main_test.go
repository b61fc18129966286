package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seonchak/seonchak/pkg/env"
)

// asProgram makes the test binary behave as a program, so that a test can send it real signals.
const asProgram = "SERVICE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main(ThisProcess(), serving()))
	}
	goleak.VerifyTestMain(m)
}

type settings struct {
	env.Process
	env.Redis
	AdminAddr env.Address `env:"ADMIN_ADDR" envDefault:":8082" doc:"address of the admin listener"`
	Batch     int         `env:"BATCH" envDefault:"500" doc:"rows a transaction"`
}

func (s settings) Validate() []error {
	return []error{env.Between("BATCH", s.Batch, 1, 500)}
}

type run = func(ctx context.Context, config settings, shell Shell) error

func program(r run) Program[settings] {
	return Program[settings]{
		Name: "clerk", Summary: "writes things down.", Run: r,
		Admin: func(config settings) env.Address { return config.AdminAddr },
	}
}

func idle(ctx context.Context, _ settings, _ Shell) error {
	<-ctx.Done()
	return ctx.Err()
}

// process is a System whose output and signals belong to the test.
type process struct {
	System
	out, err buffer
	signals  chan os.Signal
}

func newProcess(environ []string, args ...string) *process {
	p := &process{signals: make(chan os.Signal, 2)}
	p.System = System{Args: args, Environ: environ, Stdout: &p.out, Stderr: &p.err, Signals: p.signals}
	return p
}

func TestVersionAndHelpNeedNoSettings(t *testing.T) {
	t.Parallel()
	broken := []string{"BATCH=many"}
	p := newProcess(broken, "--version")
	require.Equal(t, 0, Main(p.System, program(nil)))
	require.Regexp(t, `^clerk \S+ go1\.\S+\n$`, p.out.String())

	for _, flag := range []string{"--help", "-h"} {
		p = newProcess(broken, flag)
		require.Equal(t, 0, Main(p.System, program(nil)))
		for _, want := range []string{
			"clerk: writes things down.", "usage: clerk [healthcheck | --help | --version]", "APP_ENV", "ALLOW_WEAK_STORES",
			"LOG_LEVEL", "LOG_FORMAT", "OTEL_EXPORTER_OTLP_ENDPOINT", "REDIS_URL", "ADMIN_ADDR", "BATCH", "rows a transaction",
		} {
			require.Contains(t, p.out.String(), want)
		}
	}
}

func TestEveryMistakeIsListedAndEndsWithTwo(t *testing.T) {
	t.Parallel()
	p := newProcess([]string{"BATCH=501", "ADMIN_ADDR=nowhere", "REDIS_URL=redis://", "LOG_LEVEL=loud"})
	require.Equal(t, 2, Main(p.System, program(nil)))
	require.Empty(t, p.out.String())
	require.Equal(t, strings.Join([]string{
		`clerk: REDIS_URL: must begin with redis://host, rediss://host or redis+sentinel://host`,
		`clerk: ADMIN_ADDR="nowhere": must be host:port, such as 127.0.0.1:8080 or :8080`,
		`clerk: LOG_LEVEL="loud": must be one of: debug, info, warn, error`,
		`clerk: BATCH="501": must be from 1 to 500`, "",
	}, "\n"), p.err.String())
}

func TestArguments(t *testing.T) {
	t.Parallel()
	p := newProcess(nil, "frobnicate")
	require.Equal(t, 2, Main(p.System, program(nil)))
	require.Equal(t, "clerk: \"frobnicate\": no such argument, see --help\n", p.err.String())

	taking := program(func(_ context.Context, _ settings, shell Shell) error {
		_, err := fmt.Fprint(shell.Stdout, shell.Args)
		return err
	})
	taking.Usage = "<job> [flags]"
	p = newProcess(nil, "sweep", "--every=1m")
	require.Equal(t, 0, Main(p.System, taking))
	require.Equal(t, "[sweep --every=1m]", p.out.String(), "the log stays out of a program's output")
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	cases := map[string]struct {
		run    run
		signal bool
		code   int
		said   string
	}{
		"done":                        {run: returns(nil), code: 0, said: "stopped"},
		"failed":                      {run: returns(broken), code: 1, said: "broken"},
		"cancelled by nobody":         {run: returns(context.Canceled), code: 1, said: "context canceled"},
		"panicked":                    {run: func(context.Context, settings, Shell) error { panic("at the disco") }, code: 1, said: "at the disco"},
		"misconfigured":               {run: returns(fmt.Errorf("dial: %w", env.Mistake{Variable: "REDIS_URL", Problem: "is odd"})), code: 2, said: "clerk: dial: REDIS_URL: is odd\n"},
		"refused":                     {run: returns(env.Mistakes{errors.New("one"), errors.New("two")}), code: 2, said: "clerk: one\nclerk: two\n"},
		"signal":                      {run: idle, signal: true, code: 0, said: "stopped"},
		"signal, cancelled inside":    {run: afterSignal(fmt.Errorf("fetch: %w", context.Canceled)), signal: true, code: 0, said: "stopped"},
		"signal, then an error":       {run: afterSignal(broken), signal: true, code: 1, said: "broken"},
		"signal, an error among them": {run: afterSignal(errors.Join(context.Canceled, broken)), signal: true, code: 1, said: "broken"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProcess(nil)
			if c.signal {
				p.signals <- syscall.SIGTERM
			}
			require.Equal(t, c.code, Main(p.System, program(c.run)))
			require.Contains(t, p.err.String(), c.said)
		})
	}
}

func returns(err error) run {
	return func(context.Context, settings, Shell) error { return err }
}

func afterSignal(err error) run {
	return func(ctx context.Context, _ settings, _ Shell) error {
		<-ctx.Done()
		return err
	}
}

func TestStartIsLoggedWithMaskedSettings(t *testing.T) {
	t.Parallel()
	p := newProcess([]string{"REDIS_URL=redis://:hunter2@h:1/0", "BATCH=7", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"})
	require.Equal(t, 0, Main(p.System, program(returns(nil))))
	require.NotContains(t, p.err.String(), "hunter2")
	var line struct {
		Msg, Service, Version string
		Config                map[string]string
	}
	require.NoError(t, json.NewDecoder(strings.NewReader(p.err.String())).Decode(&line))
	require.Equal(t, "starting", line.Msg)
	require.Equal(t, "clerk", line.Service)
	require.Equal(t, Version(), line.Version)
	require.Equal(t, "7", line.Config["BATCH"])
	require.Equal(t, "redis://:***@h:1/0", line.Config["REDIS_URL"])
	require.Contains(t, p.err.String(), "exports no traces")
}

func TestSecondSignalLeavesAtOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	p := newProcess(nil)
	p.signals <- syscall.SIGTERM
	p.signals <- syscall.SIGINT
	require.Equal(t, 1, Main(p.System, program(func(context.Context, settings, Shell) error {
		<-release
		return nil
	})))
	require.Contains(t, p.err.String(), "leaving at once")
}

func TestARunThatNeverComesBackIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		p := newProcess(nil)
		p.signals <- syscall.SIGTERM
		began := time.Now()
		require.Equal(t, 1, Main(p.System, program(func(context.Context, settings, Shell) error {
			<-release
			return nil
		})))
		require.Equal(t, stopWithin, time.Since(began))
		require.Less(t, time.Since(began), 30*time.Second)
	})
}

// buffer is a bytes.Buffer that a logger and a test may use at once.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}
