// Command chaos breaks everything that can break in the middle of a drop, and compares what a crowd was told with what the
// database holds afterwards. It brings its own stores. Exit code 1 means that something was wrong, or too little was shown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/seonchak/seonchak/tools/chaos/faults"
)

const usage = `chaos: break everything in the middle of a drop, and see what comes of the promises

usage: chaos [flags]           the fault suite
       chaos planted [flags]   programs with a bug each: the suite must catch every one

flags:
`

// settings are what the command line says.
type settings struct {
	planted     bool
	programs    string
	scripts     string
	dir         string
	ledgerPath  string
	only        string
	seed        uint64
	count       int
	lanes       int
	long        bool
	list        bool
	rate        float64
	workers     int
	environment []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(exitCode(run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

func exitCode(err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "chaos:", err) // standard error is the last place to complain
	return 1
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if s.list {
		return list(stdout)
	}
	made := s.dir == ""
	if s.dir, err = folder(s.dir); err != nil {
		return err
	}
	if s.ledgerPath == "" {
		s.ledgerPath = filepath.Join(s.dir, "ledger.jsonl")
	}
	if s.planted {
		err = catchPlanted(ctx, s, stdout, stderr)
	} else {
		err = (&suite{settings: s, out: stdout, progress: stderr}).run(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w\nlogs and journals are in %s", err, s.dir)
	}
	if made {
		return os.RemoveAll(s.dir)
	}
	return nil
}

// folder makes the folder, a new one where none is named.
func folder(name string) (string, error) {
	if name == "" {
		return os.MkdirTemp("", "seonchak-chaos-")
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	const private = 0o700
	return path, os.MkdirAll(path, private)
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	if len(args) > 0 && args[0] == "planted" {
		s.planted, args = true, args[1:]
	}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.programs, "programs", "bin/chaos-programs", "`folder` with the programs, as `make chaos-programs` fills it")
	flags.StringVar(&s.scripts, "scripts", "scripts", "`folder` of services.sh")
	flags.StringVar(&s.dir, "dir", "", "`folder` for stores, logs and journals; a new one, which is removed when all went well, if not given")
	flags.StringVar(&s.ledgerPath, "ledger", "", "`file` with a line a run; what is in it counts for --long (default: in --dir)")
	flags.StringVar(&s.only, "only", "", "run these fault classes alone: a name or a `pattern`; of planted, a bug")
	flags.Uint64Var(&s.seed, "seed", 1, "of the first run; the next has the next one")
	flags.IntVar(&s.count, "runs", 0, "run every class this often; 0 = once, or as often as --long needs")
	flags.IntVar(&s.lanes, "lanes", 2, "worlds side by side, each with stores of its own and one run at a time")
	flags.BoolVar(&s.long, "long", false, fmt.Sprintf("every class, until %d SIGKILLs, %d kinds of window and %d grants are in the ledger", longKills, longKinds, longAcked))
	flags.BoolVar(&s.list, "list", false, "list the fault classes")
	flags.Float64Var(&s.rate, "rate", 250, "applies a second")
	flags.IntVar(&s.workers, "workers", 24, "applies in flight")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected %q", flags.Args())
	}
	if s.lanes < 1 {
		return s, fmt.Errorf("--lanes %d: wanted at least 1", s.lanes)
	}
	return s, nil
}

func list(w io.Writer) error {
	for _, c := range faults.All() {
		form := "long"
		if c.Short {
			form = "short"
		}
		if c.Planted {
			form = "planted"
		}
		if _, err := fmt.Fprintf(w, "%-8s %s\n", form, c.Name); err != nil {
			return err
		}
	}
	return nil
}
