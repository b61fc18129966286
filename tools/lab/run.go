package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seonchak/seonchak/tools/lab/report"
	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/lab/trial"
	"github.com/seonchak/seonchak/tools/procs"
	"github.com/seonchak/seonchak/tools/progress"
)

const runHelp = `Runs strategies on the stores in the environment (eval "$(scripts/services.sh env)"), all of them without an argument. A name
also stands for all that begin with it: isolation, redis-lock.

Every trial's result is kept at once: a run that was interrupted goes on where it was, --again begins anew, and so does another
commit, machine, store or command line.`

// runFlags are what the command line of lab run says.
type runFlags struct {
	bin, results string
	workload     string
	commit       string
	users, limit int
	longest      time.Duration
	again        bool
}

func runCommand() *cobra.Command {
	f := &runFlags{}
	command := &cobra.Command{
		Use: "run [STRATEGY...]", Short: "run strategies and count", Long: runHelp,
		RunE: func(c *cobra.Command, names []string) error { return f.run(c, names) },
	}
	flags := command.Flags()
	flags.StringVar(&f.bin, "bin", "bin", "`folder` of the product, as make build fills it")
	flags.StringVar(&f.results, "results", "bin/lab-results", "`folder` of the results")
	flags.StringVar(&f.workload, "workload", "", fmt.Sprintf("only this of %q", trial.Workloads))
	flags.StringVar(&f.commit, "commit", "unknown", "what is measured, for the page")
	flags.IntVar(&f.users, "users", 20_000, "how many come to a drop")
	flags.IntVar(&f.limit, "limit", 1_000, "places of a drop")
	flags.DurationVar(&f.longest, "longest", 2*time.Second, "users come to a trial for so long at most")
	flags.BoolVar(&f.again, "again", false, "hold trials again that have a result")
	return command
}

func (f *runFlags) run(c *cobra.Command, names []string) error {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	stores, err := procs.StoresFrom(os.Getenv)
	if err != nil {
		return fmt.Errorf("%w\nrun `make lab`, or: eval \"$(scripts/services.sh env)\"", err)
	}
	if err := os.MkdirAll(f.results, 0o750); err != nil {
		return err
	}
	database, err := trial.Database(c.Context(), stores)
	if err != nil {
		return err
	}
	about := report.About{
		Commit: f.commit, Database: database, Stores: os.Getenv("SEONCHAK_STORES"), // what `services.sh env` says of them
		Command: fmt.Sprintf("bin/lab run --users %d --limit %d --longest %s", f.users, f.limit, f.longest),
	}.Here()
	var all []trial.Result
	for _, name := range chosen {
		kept, err := f.hold(c, stores, about, name)
		if err != nil {
			return err
		}
		all = append(all, kept.Results...)
	}
	report.Terminal(c.OutOrStdout(), all)
	return nil
}

// choose returns the strategies that are named, or all.
func choose(names []string) (chosen []string, err error) {
	for _, name := range report.Names() {
		wanted := func(n string) bool { return name == n || strings.HasPrefix(name, n+"-") }
		if len(names) == 0 || slices.ContainsFunc(names, wanted) {
			chosen = append(chosen, name)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no strategy is called %q; there are %q", names, report.Names())
	}
	return chosen, nil
}

// hold holds all trials of a strategy that have no result yet.
func (f *runFlags) hold(c *cobra.Command, stores procs.Stores, about report.About, name string) (kept report.Kept, err error) {
	path := filepath.Join(f.results, name+".json")
	if !f.again {
		if kept, err = report.LoadSame(path, about); err != nil {
			return report.Kept{}, err
		}
	}
	for _, which := range f.cases(name) {
		if slices.ContainsFunc(kept.Results, func(r trial.Result) bool { return r.Case == which }) {
			continue
		}
		result, err := trial.Run(c.Context(), trial.Options{
			Stores: stores, Bin: f.bin, Longest: f.longest,
			Watch: func(done func() int64) func() {
				return progress.Follow(c.ErrOrStderr(), describe(which), int64(which.Applies), done)
			},
		}, which)
		if err != nil {
			return report.Kept{}, fmt.Errorf("%s: %w", describe(which), err)
		}
		kept.About, kept.Results = about, append(kept.Results, result)
		if err := save(path, kept); err != nil {
			return report.Kept{}, err
		}
	}
	return kept, nil
}

func save(path string, kept report.Kept) error {
	content, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o600)
}

func describe(which trial.Case) string {
	crash := ""
	if which.Crash {
		crash = ", crash"
	}
	return fmt.Sprintf("%s: %s, %d servers%s, %d at once", which.Strategy, which.Workload, which.Servers, crash, which.Connections)
}

// cases are the trials of a strategy.
func (f *runFlags) cases(name string) (cases []trial.Case) {
	add := func(which trial.Case) {
		if f.workload == "" || f.workload == which.Workload {
			cases = append(cases, which)
		}
	}
	for _, connections := range trial.Sweep {
		add(trial.Case{Strategy: name, Workload: trial.Drop, Servers: 1, Connections: connections, Applies: f.users, Limit: f.limit})
	}
	adder, canceller := can(name)
	for _, workload := range trial.Workloads {
		which := trial.Case{Strategy: name, Workload: workload, Connections: trial.Usual, Applies: f.users, Limit: f.limit}
		switch {
		case workload == trial.Contention && !adder, workload == trial.Booking && !canceller, workload == trial.Members:
			continue
		case workload == trial.Contention:
			which.Applies, which.Limit = trial.Adds, 1
		case workload == trial.Booking:
			which.Applies, which.Limit, which.Connections = trial.Seekers, 1, trial.Seekers
		}
		for _, servers := range []int{1, 2} {
			for _, crash := range []bool{false, true} {
				if which.Servers, which.Crash = servers, crash; workload != trial.Drop || servers > 1 || crash {
					add(which)
				}
			}
		}
	}
	if name == trial.Remembering {
		for _, members := range trial.Growth {
			add(trial.Case{Strategy: name, Workload: trial.Members, Servers: 1, Connections: trial.Usual, Applies: members, Limit: members})
		}
	}
	return cases
}

// can reports what a strategy can do besides granting.
func can(name string) (adder, canceller bool) {
	spec, ok := strategy.Find(name)
	if !ok {
		return false, true // the product
	}
	s := spec.New(&strategy.World{})
	_, adder = s.(strategy.Adder)
	_, canceller = s.(strategy.Canceller)
	return adder, canceller
}

func reportCommand() *cobra.Command {
	var results, page string
	command := &cobra.Command{
		Use: "report", Short: "write the page and its plots from the results", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return write(results, page) },
	}
	command.Flags().StringVar(&results, "results", "bin/lab-results", "`folder` of the results")
	command.Flags().StringVar(&page, "page", "docs/lab.md", "`file` to write; the plots go to the folder of its name, docs/lab")
	return command
}

func write(results, page string) error {
	var kept []report.Kept
	for _, name := range report.Names() {
		one, err := report.Load(filepath.Join(results, name+".json"))
		if err != nil {
			return fmt.Errorf("%s has no result: %w", name, err)
		}
		kept = append(kept, one)
	}
	return report.Write(page, kept)
}
