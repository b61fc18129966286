// Command load applies for coupons as a crowd would and says what came of it: how many answers were right, how long they
// took, and whether the database agrees. It also measures what the machine could do at best, by turns with the programs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

const (
	exitWrong    = 1 // an answer or a row is wrong, or the load could not be carried out
	exitMistaken = 2 // the command line is
)

// errWrong is the end of a load whose verdict found a fault.
var errWrong = errors.New("something is wrong, see above")

// mistake is an error of the command line.
type mistake struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program but os.Exit. Results go to stdout, the progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	started := false
	root := &cobra.Command{
		Use: "load", Short: "applies for coupons as a crowd would and says what came of it",
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { started = true },
	}
	root.SetArgs(append([]string{}, args...)) // nil would mean the arguments of the process
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(runCommand(), mergeCommand(), compareCommand(), floorsCommand(), memoryCommand(), reportCommand(), serveFloorCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "load:", err) // standard error is the last place to complain
	if errors.As(err, &mistake{}) || !started {
		return exitMistaken
	}
	return exitWrong
}
