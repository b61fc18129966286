// Command lab runs every known way to serve the first who come on the same stores and the same crowds, and counts what
// each gets wrong and what it costs.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seonchak/seonchak/tools/lab/serve"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	root := &cobra.Command{
		Use: "lab", Short: "strategies for first come, first served, side by side", SilenceUsage: true,
	}
	root.AddCommand(runCommand(), reportCommand(), upCommand(), serve.Command())
	if root.ExecuteContext(ctx) != nil {
		os.Exit(1)
	}
}
