package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seonchak/seonchak/tools/load/compare"
	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/report"
	"github.com/seonchak/seonchak/tools/load/setup"
	"github.com/seonchak/seonchak/tools/procs"
	"github.com/seonchak/seonchak/tools/stage"
)

// turnFlags say how often and how long things are measured by turns.
type turnFlags struct {
	rounds      int
	lasts       time.Duration
	connections int
	auth        string
	bin         string
	json        string
	floors      []string
}

func (f *turnFlags) add(flags *pflag.FlagSet, floors []string) {
	flags.IntVar(&f.rounds, "rounds", 5, "how many turns each has; one more before them warms up")
	flags.DurationVar(&f.lasts, "lasts", 3*time.Second, "how long a turn is")
	flags.IntVar(&f.connections, "connections", 256, "connections that apply back to back")
	flags.StringVar(&f.auth, "auth", "dev", "dev, or jwt: a token of its own for each user; the floors verify it, too")
	flags.StringVar(&f.bin, "bin", "bin", "`folder` of the programs, as make build fills it")
	flags.StringVar(&f.json, "json", "", "`file` for the rounds as JSON")
	flags.StringSliceVar(&f.floors, "floors", floors, fmt.Sprintf("which floors, of %q", compare.Floors))
}

func (f *turnFlags) check() error {
	var mistakes []error
	if f.rounds < 1 || f.connections < 1 || f.lasts <= 0 {
		mistakes = append(mistakes, errors.New("--rounds, --lasts and --connections must be above 0"))
	}
	if f.auth != "dev" && f.auth != "jwt" {
		mistakes = append(mistakes, errors.New("--auth is dev or jwt"))
	}
	return errors.Join(append(mistakes, known("--floors", f.floors, compare.Floors))...)
}

func known(flag string, names, all []string) error {
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("%s: %q is none of %q", flag, name, all)
		}
	}
	return nil
}

func (f *turnFlags) settings() map[string]string {
	return map[string]string{
		"auth": f.auth, "connections": fmt.Sprint(f.connections), "rounds": fmt.Sprint(f.rounds), "lasts": f.lasts.String(),
		"in flight": "1 a connection",
	}
}

// measured runs a measurement with its options, prints the table, as far as it got, and removes the logs when all went well.
func (f *turnFlags) measured(c *cobra.Command, measure func(compare.Options) ([]compare.Row, error)) error {
	stores, err := procs.StoresFrom(os.Getenv)
	if err != nil {
		return mistake{fmt.Errorf("%w\ntry: eval \"$(scripts/services.sh env)\"", err)}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logs, err := os.MkdirTemp("", "seonchak-load-")
	if err != nil {
		return err
	}
	conditions, err := setup.Of(c.Context(), stores, f.bin, f.settings())
	if err != nil {
		return err
	}
	options := compare.Options{
		Stage: stage.Options{Stores: stores, Bin: f.bin, Logs: logs}, Self: self,
		Rounds: f.rounds, Lasts: f.lasts, Connections: f.connections, Say: c.PrintErrf,
	}
	if f.auth == "jwt" {
		options.Stage.Secret = newSecret()
	}
	table, err := measure(options)
	err = errors.Join(err, compare.Write(c.OutOrStdout(), table), writeJSON(f.json, report.Comparison{Setup: conditions, Rows: table}))
	c.Println(conditions)
	if err != nil {
		return fmt.Errorf("%w\nthe logs are in %s", err, logs)
	}
	return os.RemoveAll(logs)
}

func compareCommand() *cobra.Command {
	var f turnFlags
	var paths []string
	var shares []float64
	var events, campaigns, open, hot int
	usual := slices.DeleteFunc(slices.Clone(compare.Paths), func(path string) bool { return path == compare.Backlog }) // it takes minutes
	command := &cobra.Command{
		Use: "compare", Short: "measure the programs and the floors below them by turns", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(f.check(), known("--paths", paths, compare.Paths)); err != nil {
				return mistake{err}
			}
			for _, share := range shares {
				if share <= 0 {
					return mistake{errors.New("--shares must be above 0")}
				}
			}
			if events < 1 || campaigns < 1 {
				return mistake{errors.New("--events and --campaigns must be above 0")}
			}
			if hot < 1 || open < hot {
				return mistake{errors.New("--hot must be above 0, and --open at least as many")}
			}
			return f.measured(c, func(options compare.Options) (table []compare.Row, err error) {
				options.Shares, options.Events, options.Campaigns, options.Open, options.Hot = shares, events, campaigns, open, hot
				for _, path := range paths {
					c.PrintErrf("%s\n", path)
					rows, err := compare.Path(c.Context(), options, path, f.floors)
					table = append(table, rows...)
					if err != nil {
						return table, fmt.Errorf("%s: %w", path, err)
					}
				}
				return table, nil
			})
		},
	}
	f.add(command.Flags(), []string{floor.Gin})
	command.Flags().Float64SliceVar(&shares, "shares", []float64{0.5}, "of the path latency: at which shares of the maximum")
	command.Flags().IntVar(&events, "events", 1_000_000, "of the path backlog: how many promises wait for the consumer")
	command.Flags().IntVar(&campaigns, "campaigns", 1, "of the path backlog: of how many campaigns they are")
	command.Flags().IntVar(&open, "open", 1_000, "of the path many-campaigns: how many are open")
	command.Flags().IntVar(&hot, "hot", 50, "of the path many-campaigns: how many of them are wanted")
	command.Flags().StringSliceVar(&paths, "paths", usual, fmt.Sprintf("which paths, of %q", compare.Paths))
	return command
}

func floorsCommand() *cobra.Command {
	var f turnFlags
	command := &cobra.Command{
		Use: "floors", Short: "measure the floors by turns, and nothing else", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return mistake{err}
			}
			return f.measured(c, func(options compare.Options) ([]compare.Row, error) {
				return compare.Alone(c.Context(), options, f.floors)
			})
		},
	}
	f.add(command.Flags(), compare.Floors)
	return command
}

// serveFloorCommand is a floor as a process of its own. With JWT_HMAC_SECRET it verifies tokens.
func serveFloorCommand() *cobra.Command {
	var address, path string
	command := &cobra.Command{
		Use: "serve-floor NAME", Short: "answer every apply with the same bytes", Hidden: true,
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{floor.Gin, floor.GinEvalSHA},
		RunE: func(c *cobra.Command, args []string) (err error) {
			server := floor.Server{Address: address}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := json.Unmarshal(content, &server.Answer); err != nil {
				return err
			}
			if secret := os.Getenv("JWT_HMAC_SECRET"); secret != "" {
				server.Secret = []byte(secret)
			}
			if args[0] == floor.GinEvalSHA {
				claim, closer, err := floor.Claimer(c.Context(), os.Getenv("REDIS_URL"))
				if err != nil {
					return err
				}
				server.Claim = claim
				defer func() { err = errors.Join(err, closer()) }()
			}
			return server.Run(c.Context())
		},
	}
	command.Flags().StringVar(&address, "address", "127.0.0.1:8080", "`host:port`")
	command.Flags().StringVar(&path, "answer", "", "`file` with the answer: status, header and body, as JSON")
	return command
}
