package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seonchak/seonchak/tools/lab/serve"
	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/lab/trial"
	"github.com/seonchak/seonchak/tools/procs"
)

func upCommand() *cobra.Command {
	var limit int
	var lease time.Duration
	command := &cobra.Command{
		Use: "up STRATEGY", Short: "serve one strategy until Ctrl-C, to try it by hand", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			spec, ok := strategy.Find(args[0])
			if !ok {
				return fmt.Errorf("there is no strategy %q", args[0])
			}
			stores, err := procs.StoresFrom(os.Getenv)
			if err != nil {
				return err
			}
			address, down, err := trial.Up(c.Context(), stores, spec, limit, lease)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, down()) }()
			c.Printf("%s serves %d places until Ctrl-C:\n  curl -i -X POST -H 'X-User-Id: me' http://%s/v1/campaigns/lab/apply\n", spec.Name, limit, address)
			<-c.Context().Done()
			return nil
		},
	}
	command.Flags().IntVar(&limit, "limit", 10, "places")
	command.Flags().DurationVar(&lease, "lease", serve.Lease, "how long locks and guards in Redis hold")
	return command
}
