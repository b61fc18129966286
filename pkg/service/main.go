// Package service is the shell of a process: its command line, logger, signals, listeners, start-up checks and ordered
// stop.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/seonchak/seonchak/pkg/env"
)

// The exit codes of every program.
const (
	exitOrderly       = 0
	exitFailed        = 1
	exitMisconfigured = 2
)

// stopWithin is how long a program may take to end after the first signal. The steps of a Group have less, so only a Run
// that does not come back at all is left behind.
const stopWithin = 28 * time.Second

// Config is a program's settings: any struct for env.Load that embeds env.Process.
type Config interface {
	Settings() env.Process
}

// Program is what a process adds to its shell.
type Program[C Config] struct {
	Name    string
	Summary string // one sentence for --help
	Usage   string // the arguments it takes, for --help; "" = none, and any is refused

	// Admin returns the address of the admin listener, which healthcheck asks. A program without one is healthy when
	// its settings are.
	Admin func(config C) env.Address

	// Run is the program. ctx ends at the first signal; Run then stops in order and returns nil or ctx's error, which
	// are exit code 0. env.Mistakes are exit code 2, any other error 1.
	Run func(ctx context.Context, config C, shell Shell) error
}

// Shell is what Run gets besides its settings.
type Shell struct {
	Name    string
	Version string
	Args    []string // what follows the name of the program
	Stdout  io.Writer
	Logger  *slog.Logger // writes to standard error, so a program's output stays its own
}

// System is what a process gets from its operating system. A test brings its own.
type System struct {
	Args    []string // without the name of the program
	Environ []string // as os.Environ returns it
	Stdout  io.Writer
	Stderr  io.Writer
	Signals <-chan os.Signal // the first asks for an orderly stop, the second for an immediate one
}

// ThisProcess returns the real System. SIGINT and SIGTERM no longer end the process by themselves.
func ThisProcess() System {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	return System{
		Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals,
	}
}

// Main is the whole of a program but os.Exit: it returns the exit code.
func Main[C Config](system System, program Program[C]) int {
	first := ""
	if len(system.Args) > 0 {
		first = system.Args[0]
	}
	config, err := env.Load[C](system.Environ)
	switch {
	case first == "--version":
		return printed(fmt.Fprintf(system.Stdout, "%s %s %s\n", program.Name, Version(), runtime.Version()))
	case first == "--help" || first == "-h":
		return printed(0, program.help(system.Stdout))
	case first == "healthcheck":
		return program.healthcheck(system, config, err)
	case first != "" && program.Usage == "":
		err = env.Mistakes{fmt.Errorf("%q: no such argument, see --help", first)}
	}
	if err != nil {
		return refuse(system.Stderr, program.Name, err)
	}
	return program.run(system, config)
}

func (p Program[C]) run(system System, config C) int {
	settings := config.Settings()
	logger := NewLogger(system.Stderr, settings, p.Name, Version())
	logger.Info("starting", slog.GroupAttrs("config", env.Attrs(config)...))
	if settings.OTLPEndpoint != "" {
		logger.Warn("OTEL_EXPORTER_OTLP_ENDPOINT is set, but this build exports no traces")
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- guard(func() error {
			return p.Run(ctx, config, Shell{p.Name, Version(), system.Args, system.Stdout, logger})
		})
	}()
	var late <-chan time.Time
	for {
		select {
		case err := <-ended:
			return finish(ctx, system.Stderr, logger, p.Name, err)
		case received := <-system.Signals:
			if ctx.Err() != nil {
				logger.Error("leaving at once", "signal", received.String())
				return exitFailed
			}
			logger.Info("stopping", "signal", received.String())
			stop()
			late = time.After(stopWithin)
		case <-late:
			logger.Error("leaving: the stop takes too long", "within", stopWithin.String())
			return exitFailed
		}
	}
}

// finish turns the end of Run into an exit code. A cancelled context is an orderly end only when a signal cancelled it.
func finish(ctx context.Context, stderr io.Writer, logger *slog.Logger, name string, err error) int {
	var mistake env.Mistake
	var mistakes env.Mistakes
	switch {
	case err == nil, ctx.Err() != nil && cancelled(err):
		logger.Info("stopped")
		return exitOrderly
	case errors.As(err, &mistakes), errors.As(err, &mistake):
		return refuse(stderr, name, err)
	default:
		logger.Error("failed", "error", err)
		return exitFailed
	}
}

// refuse prints each line of err as one of the program's.
func refuse(stderr io.Writer, name string, err error) int {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", name, line) // standard error is the last place to complain
	}
	return exitMisconfigured
}

func (p Program[C]) help(w io.Writer) error {
	usage := p.Usage
	if usage != "" {
		usage += " | "
	}
	_, err := fmt.Fprintf(w, "%s: %s\n\nusage: %s [%shealthcheck | --help | --version]\n\nenvironment:\n\n",
		p.Name, p.Summary, p.Name, usage)
	if err != nil {
		return err
	}
	var settings C
	return env.Help(w, settings)
}

func printed(_ int, err error) int {
	if err != nil {
		return exitFailed
	}
	return exitOrderly
}
