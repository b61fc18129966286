package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seonchak/seonchak/tools/load/memory"
	"github.com/seonchak/seonchak/tools/load/report"
	"github.com/seonchak/seonchak/tools/load/setup"
	"github.com/seonchak/seonchak/tools/procs"
)

// memoryCommand measures memory, each figure beside its bound.
func memoryCommand() *cobra.Command {
	var options memory.Options
	var path string
	command := &cobra.Command{
		Use: "memory", Short: "measure what an api-server holds and what a claim costs Redis", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if options.Claims < 1 || options.Connections < 0 || options.Lasts <= 0 {
				return mistake{errors.New("--claims and --lasts must be above 0, and --connections not below")}
			}
			if options.Stage.Stores, err = procs.StoresFrom(os.Getenv); err != nil {
				return mistake{fmt.Errorf("%w\ntry: eval \"$(scripts/services.sh env)\"", err)}
			}
			if options.Self, err = os.Executable(); err != nil {
				return err
			}
			conditions, err := setup.Of(c.Context(), options.Stage.Stores, options.Stage.Bin, map[string]string{
				"claims": fmt.Sprint(options.Claims), "connections": fmt.Sprint(options.Connections), "lasts": options.Lasts.String(),
			})
			if err != nil {
				return err
			}
			if options.Stage.Logs, err = os.MkdirTemp("", "seonchak-load-"); err != nil {
				return err
			}
			found, err := memory.Measure(c.Context(), options)
			if err != nil {
				return fmt.Errorf("%w\nthe logs are in %s", err, options.Stage.Logs)
			}
			err = errors.Join(found.Write(c.OutOrStdout()), writeJSON(path, report.Memory{Setup: conditions, Report: found}))
			c.Println(conditions)
			return errors.Join(err, os.RemoveAll(options.Stage.Logs))
		},
	}
	flags := command.Flags()
	flags.IntVar(&options.Claims, "claims", 1_000_000, "claims in Redis, of users with names of 36 characters")
	flags.IntVar(&options.Connections, "connections", 10_000, "connections that apply at the api-server back to back; 0 measures Redis alone")
	flags.DurationVar(&options.Lasts, "lasts", 10*time.Second, "for how long")
	flags.StringVar(&options.Stage.Bin, "bin", "bin", "`folder` of the programs, as make build fills it")
	flags.StringVar(&path, "json", "", "`file` for the figures as JSON")
	return command
}
