package serve

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seonchak/seonchak/tools/lab/strategy"
)

// Lease is how long locks and guards in Redis hold in a trial.
const Lease = time.Second

// Command is `lab serve`: one server of a trial. The trial starts it and kills it.
func Command() *cobra.Command {
	var address string
	var crashAt int64
	w := &strategy.World{AfterRead: func() {}, Halfway: func() {}}
	command := &cobra.Command{
		Use: "serve STRATEGY", Short: "serve a strategy; lab run does this", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(c *cobra.Command, args []string) (err error) {
			spec, ok := strategy.Find(args[0])
			if !ok {
				return fmt.Errorf("there is no strategy %q", args[0])
			}
			if w.DB, err = Open(os.Getenv("MYSQL_DSN")); err != nil {
				return err
			}
			if w.Redis, err = Dial(os.Getenv("REDIS_URL")); err != nil {
				return err
			}
			w.Kafka = strings.Split(os.Getenv("KAFKA_BROKERS"), ",")
			if crashAt > 0 {
				w.Halfway = CrashAt(crashAt, w.Redis, w.Name+":crashed")
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM)
			defer stop()
			return errors.Join(Run(ctx, address, spec.New(w), w), w.DB.Close(), w.Redis.Close())
		},
	}
	flags := command.Flags()
	flags.StringVar(&address, "address", "127.0.0.1:0", "`host:port`")
	flags.StringVar(&w.Name, "name", "", "of the trial")
	flags.IntVar(&w.Limit, "limit", 0, "places")
	flags.DurationVar(&w.Lease, "lease", Lease, "of locks and guards")
	flags.BoolVar(&w.First, "first", false, "also do the work that is not shared")
	flags.Int64Var(&crashAt, "crash-at", 0, "die at the n-th grant that is halfway")
	return command
}
