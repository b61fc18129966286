package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seonchak/seonchak/batch/internal/sweep"
	"github.com/seonchak/seonchak/pkg/env"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/service"
)

// cli is the command line and the exit code of what it ran.
type cli struct {
	system service.System
	code   int
}

// flags are what differs from run to run.
type flags struct {
	every, timeout, olderThan, wait time.Duration
	json, all, claims, repair       bool
	names                           []string // of campaigns
}

// mistakes returns what is wrong with the flags. Those a command does not have are at their defaults.
func (f flags) mistakes() (found []error) {
	for _, m := range []struct {
		wrong bool
		text  string
	}{
		{f.timeout <= 0, "--timeout must be above 0"},
		{f.every < 0, "--every must not be below 0"},
		{f.olderThan < sweep.FirstDue, fmt.Sprintf("--older-than must be at least %s: younger claims are not due", sweep.FirstDue)},
		{f.wait < 0, "--wait must not be below 0"},
		{f.wait > 0 && f.wait >= f.timeout, "--wait must be below --timeout"},
	} {
		if m.wrong {
			found = append(found, errors.New(m.text))
		}
	}
	return found
}

func defaults() flags { return flags{timeout: 10 * time.Minute, olderThan: 5 * time.Second} }

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           name,
		Short:         "Jobs beside the coupon pipeline",
		Long:          long(),
		Version:       service.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("which job? See --help")
		},
	}
	root.SetVersionTemplate(fmt.Sprintf("%s %s %s\n", name, service.Version(), runtime.Version()))
	root.AddCommand(c.migrate(), c.retryFailed(), c.sweep(), c.reconcile(), c.rebuild(), c.healthcheck())
	return root
}

func long() string {
	var text strings.Builder
	text.WriteString(`Jobs beside the coupon pipeline, one a run. Every job may be repeated, and two of one kind may run at once.

Exit code: 0 = done, 1 = a failure or a difference, 2 = a mistake in the configuration.

Environment:

`)
	_ = env.Help(&text, settings{}) // a strings.Builder takes everything
	return text.String()
}

func (c *cli) migrate() *cobra.Command {
	f := defaults()
	command := c.command("migrate", "Bring the schema and the topics to what this version needs", &f, c.migrateJob)
	f.bound(command)
	return command
}

func (c *cli) retryFailed() *cobra.Command {
	f := defaults()
	command := c.command("retry-failed", "Try the failed events that are due once more", &f, c.retryFailedJob)
	f.bound(command)
	f.schedule(command)
	return command
}

func (c *cli) sweep() *cobra.Command {
	f := defaults()
	command := c.command("sweep", "Publish again what Redis granted and Kafka never acknowledged", &f, c.sweepJob)
	f.bound(command)
	f.schedule(command)
	command.Flags().DurationVar(&f.olderThan, "older-than", f.olderThan, "leave younger claims to the api-servers")
	return command
}

func (c *cli) reconcile() *cobra.Command {
	f := defaults()
	command := c.command("reconcile", "Compare Redis, Kafka and MySQL; exit 1 on a difference", &f, c.reconcileJob)
	f.bound(command)
	f.schedule(command)
	command.Flags().BoolVar(&f.json, "json", false, "write JSON instead of a table")
	command.Flags().DurationVar(&f.wait, "wait", 0,
		"how long claims on their way, and repairs, may take; what has not arrived by then is a difference")
	command.Flags().BoolVar(&f.claims, "claims", false, "compare every claim by itself, also where the counts agree")
	command.Flags().BoolVar(&f.repair, "repair", false, "repair what can do no harm, and compare again; best with --wait")
	return command
}

func (c *cli) rebuild() *cobra.Command {
	f := defaults()
	command := c.command("rebuild [campaign...]", "Have the claim state in Redis made anew from MySQL, and wait for it", &f, c.rebuildJob)
	f.bound(command)
	command.Flags().BoolVar(&f.all, "all", false, "every campaign that is active or paused")
	command.Args = func(_ *cobra.Command, names []string) error {
		f.names = names
		if f.all == (len(names) > 0) {
			return errors.New("name the campaigns to rebuild, or say --all")
		}
		return nil
	}
	return command
}

func (f *flags) bound(command *cobra.Command) {
	command.Flags().DurationVar(&f.timeout, "timeout", f.timeout, "how long one run may take")
}

func (f *flags) schedule(command *cobra.Command) {
	command.Flags().DurationVar(&f.every, "every", 0, "run again and again, this far apart, until SIGTERM; 0 = once")
}

// jobFunc runs a job in the shell that all programs share.
type jobFunc func(ctx context.Context, s settings, shell service.Shell, f flags) error

func (c *cli) command(use, short string, f *flags, work jobFunc) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			if mistakes := f.mistakes(); len(mistakes) > 0 {
				c.code = c.refuse(mistakes...)
				return
			}
			system := c.system
			system.Args = nil // cobra has read them
			c.code = service.Main(system, service.Program[settings]{
				Name: name,
				Run:  func(ctx context.Context, s settings, shell service.Shell) error { return work(ctx, s, shell, *f) },
			})
		},
	}
}

// healthcheck asks MySQL, which every job needs: there is no listener to ask. A mistake in another setting does not make
// a running program look dead.
func (c *cli) healthcheck() *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck", Short: "Exit 0 when MySQL answers", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { c.code = c.healthy() },
	}
}

func (c *cli) healthy() int {
	const bound = 2 * time.Second // below the 3 s and more that container engines give a check
	config, err := env.Load[settings](c.system.Environ)
	if config.DSN == "" {
		return c.refuse(err)
	}
	store, err := mysqlstore.Open(config.DSN.Reveal(), mysqlstore.Options{MaxConns: 1})
	if err != nil {
		return c.refuse(fmt.Errorf("MYSQL_DSN: %w", err))
	}
	defer func() { _ = store.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := store.Ping(ctx); err != nil {
		_, _ = fmt.Fprintf(c.system.Stderr, "%s: not healthy: %v\n", name, err) // the exit code is the answer
		return exitFailed
	}
	return exitOK
}
