// Command demo shows that a crowd gets exactly as many coupons as there are: it starts the programs on the stores it is
// told of, applies as a crowd would, and reads the verdict from the database. Exit code 1 means that something is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seonchak/seonchak/tools/procs"
)

const usage = `demo: a crowd applies for a few coupons, and the database tells what came of it

usage: demo [flags]

environment:
  REDIS_URL, KAFKA_BROKERS, MYSQL_DSN   the stores: eval "$(scripts/services.sh env)"
  DEMO_STAY=1                           stay up afterwards, until Ctrl-C
  and whatever the programs read

flags:
`

// settings are what the command line and the environment say.
type settings struct {
	bin         string
	logs        string
	users       int
	applies     int
	limit       int
	connections int
	seed        uint64
	fault       string
	stay        bool
}

// errWrong is the end of a demo whose verdict found a fault.
var errWrong = errors.New("something is wrong, see above")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the demo at once
	os.Exit(exitCode(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr), os.Stderr))
}

func exitCode(err error, stderr io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(stderr, "demo: interrupted") // standard error is the last place to complain
	default:
		_, _ = fmt.Fprintln(stderr, "demo:", err)
	}
	return 1
}

// run is the whole demo. Results go to stdout, the progress to stderr.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	s, err := parse(args, getenv, stderr)
	if err != nil {
		return err
	}
	stores, err := procs.StoresFrom(getenv)
	if err != nil {
		return fmt.Errorf("%w\nrun `make demo`, or: eval \"$(scripts/services.sh env)\"", err)
	}
	logs, err := os.MkdirTemp(s.logs, "seonchak-demo-")
	if err != nil {
		return err
	}
	d := &demo{settings: s, stores: stores, getenv: getenv, out: stdout, stderr: stderr}
	err = errors.Join(d.run(ctx, logs), d.close())
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w\nthe logs of the programs are in %s", err, logs)
	}
	return errors.Join(err, os.RemoveAll(logs))
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (settings, error) {
	s := settings{stay: getenv("DEMO_STAY") == "1"}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.bin, "bin", "bin", "`folder` with the programs, as `make build` fills it")
	flags.StringVar(&s.logs, "logs", os.TempDir(), "`folder` for the logs of the programs, which are kept when something is wrong")
	flags.IntVar(&s.users, "users", 20_000, "how many users apply")
	flags.IntVar(&s.applies, "applies", 50_000, "how often they apply, double clicks included")
	flags.IntVar(&s.limit, "limit", 1_000, "how many coupons there are")
	flags.IntVar(&s.connections, "connections", 256, "applies in flight")
	flags.Uint64Var(&s.seed, "seed", rand.Uint64N(1_000_000), "of the order in which they come")
	flags.StringVar(&s.fault, "fault", "", "break something before the verdict is read, to see that it is seen: delete-row")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	return s, s.check(flags.Args())
}

func (s settings) check(rest []string) error {
	var mistakes []error
	if len(rest) > 0 {
		mistakes = append(mistakes, fmt.Errorf("unexpected %q", rest))
	}
	for name, n := range map[string]int{"users": s.users, "applies": s.applies, "limit": s.limit, "connections": s.connections} {
		if n < 1 {
			mistakes = append(mistakes, fmt.Errorf("--%s must be at least 1", name))
		}
	}
	if s.fault != "" && s.fault != faultDeleteRow {
		mistakes = append(mistakes, fmt.Errorf("--fault %s: only %s is known", s.fault, faultDeleteRow))
	}
	return errors.Join(mistakes...)
}

// restWithin is how long the consumer may take to finish what the crowd left it.
const restWithin = 2 * time.Minute
