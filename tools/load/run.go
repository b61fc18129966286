package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/setup"
	"github.com/seonchak/seonchak/tools/load/witness"
	"github.com/seonchak/seonchak/tools/procs"
	"github.com/seonchak/seonchak/tools/progress"
	"github.com/seonchak/seonchak/tools/stage"
)

const runHelp = `Sends the applies of a plan and reports what they were told.

With --server it loads servers that run, and campaigns that are open. Without, it brings up programs of its own on the
stores in the environment (eval "$(scripts/services.sh env)"), opens the campaigns, and compares the answers with the rows.

Two models of arrival:
  --model open     each apply has its time, fixed in advance by the seed, and latency counts from that time
  --model closed   --connections users apply back to back: how much is possible

Several processes can share one plan: the same flags, --shard 0/n to n-1/n, one --begin, and --out FILE; load merge adds
them up.`

// runFlags are what the command line of load run says.
type runFlags struct {
	plan        arrival.Plan
	model       string
	auth        string
	secret      string
	shard       string
	begin       string
	servers     []string
	campaigns   []string
	limit       int
	bin         string
	connections int
	timeout     time.Duration
	verdictFlags
	reportFlags
	out string
}

// mixedCampaigns is how many a mixed drop has that is not told: who comes for several is what it is about.
const mixedCampaigns = 3

func runCommand() *cobra.Command { return (&runFlags{}).command() }

func (f *runFlags) command() *cobra.Command {
	command := &cobra.Command{
		Use: "run", Short: "send the applies of a plan", Long: runHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := command.Flags()
	flags.StringVar(&f.plan.Profile, "profile", arrival.Drop, fmt.Sprintf("who comes when: one of %q", arrival.Profiles))
	flags.Uint64Var(&f.plan.Users, "users", 100_000, "how many users come")
	flags.DurationVar(&f.plan.Over, "over", 10*time.Second, "in which time they come for the first time")
	flags.Uint64Var(&f.plan.Members, "members", 1_000, "of members-retry: how many of the first users come back")
	flags.Uint64Var(&f.plan.Seed, "seed", rand.Uint64N(1_000_000), "of the plan and of the users' names")
	flags.StringVar(&f.model, "model", "open", "open or closed")
	flags.IntVar(&f.connections, "connections", 256, "connections, each with one apply at a time")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "of one apply")
	flags.StringVar(&f.auth, "auth", "dev", "dev, or jwt: a token of its own for each user")
	flags.StringVar(&f.secret, "secret-file", "", "`file` with the secret of the tokens; with own programs one is made up")
	flags.StringSliceVar(&f.servers, "server", nil, "`host:port` of servers that run")
	flags.StringSliceVar(&f.campaigns, "campaign", nil, "`ids` of open campaigns on them, the most wanted first")
	flags.IntVar(&f.plan.Campaigns, "campaigns", 1, fmt.Sprintf("with own programs: how many campaigns are opened; of mixed %d, unless said", mixedCampaigns))
	flags.IntVar(&f.limit, "limit", 1_000, "with own programs: coupons of each")
	flags.StringVar(&f.bin, "bin", "bin", "`folder` of the own programs, as make build fills it")
	flags.StringVar(&f.shard, "shard", "0/1", "which part of the users: `i/n`")
	flags.StringVar(&f.begin, "begin", "", "`time` at which all shards begin, RFC 3339; default: at once")
	flags.StringVar(&f.out, "out", "", "`file` for load merge")
	f.verdictFlags.add(flags)
	f.reportFlags.add(flags)
	return command
}

// crowd is a plan with all that is needed to send it.
type crowd struct {
	plan    arrival.Plan
	shard   arrival.Shard
	begin   time.Time
	options drive.Options
	witness *witness.Witness
	stage   *stage.Stage // nil when the servers are others'
	setup   setup.Setup
}

func (f *runFlags) run(c *cobra.Command) (err error) {
	w, err := f.check(c.Flags())
	if err != nil {
		return mistake{err}
	}
	ctx := c.Context()
	w.setup = setup.Local(f.settings())
	if len(f.servers) == 0 {
		if err := f.raise(ctx, w); err != nil {
			return err
		}
		defer func() { err = lower(w.stage, err) }()
	}
	w.witness = witness.New(w.plan, w.options.Campaigns)
	w.options.Witness = w.witness
	c.Printf("plan %s, %s applies of %s users in %s, --seed %d; %s model, %d connections\n", w.plan.Profile,
		drop.Number(w.plan.Count(w.shard)), drop.Number(int64(w.plan.Users)), w.plan.Over, w.plan.Seed, f.model, f.connections)
	return f.follow(c, w)
}

func (f *runFlags) check(said *pflag.FlagSet) (*crowd, error) {
	w := &crowd{options: drive.Options{
		Servers: f.servers, Campaigns: f.campaigns, Connections: f.connections, Timeout: f.timeout, Open: f.model == "open",
	}}
	var mistakes []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			mistakes = append(mistakes, fmt.Errorf(format, args...))
		}
	}
	if f.plan.Profile == arrival.Mixed && !said.Changed("campaigns") {
		f.plan.Campaigns = mixedCampaigns
	}
	f.checkPlan(must)
	must(f.model == "open" || f.model == "closed", "--model is open or closed")
	must(f.auth == "dev" || f.auth == "jwt", "--auth is dev or jwt")
	must(f.connections > 0, "--connections must be at least 1")
	must(f.timeout > 0, "--timeout must be above 0")
	must(f.limit > 0, "--limit must be at least 1")
	must((len(f.servers) == 0) == (len(f.campaigns) == 0), "--server and --campaign go together")
	must(len(f.servers) > 0 || f.shard == "0/1", "--shard needs --server")
	if len(f.campaigns) > 0 {
		f.plan.Campaigns = len(f.campaigns)
	}
	w.plan = f.plan
	w.options.Users = arrival.NewUsers(w.plan.Seed)
	var err error
	w.shard, err = arrival.ParseShard(f.shard)
	must(err == nil, "--shard: %w", err)
	if f.begin != "" {
		w.begin, err = time.Parse(time.RFC3339Nano, f.begin)
		must(err == nil, "--begin: %w", err)
	}
	w.options.Secret, err = f.readSecret()
	must(err == nil, "--secret-file: %w", err)
	return w, errors.Join(mistakes...)
}

// mostUsers is how many a process has room for: two bits each.
const mostUsers = 10_000_000_000

func (f *runFlags) checkPlan(must func(ok bool, format string, args ...any)) {
	must(slices.Contains(arrival.Profiles, f.plan.Profile), "--profile is one of %q", arrival.Profiles)
	must(f.plan.Users >= 1 && f.plan.Users <= mostUsers, "--users is from 1 to %s", drop.Number(mostUsers))
	must(f.plan.Over >= 0, "--over must not be below 0")
	must(f.plan.Campaigns > 0, "--campaigns must be at least 1")
}

func (f *runFlags) readSecret() ([]byte, error) {
	switch {
	case f.auth != "jwt":
		return nil, nil
	case f.secret != "":
		content, err := os.ReadFile(f.secret)
		return bytes.TrimRight(content, "\r\n"), err // as the api-server reads it
	case len(f.servers) > 0:
		return nil, errors.New("--auth jwt with --server needs it")
	}
	return newSecret(), nil
}

func (f *runFlags) settings() map[string]string {
	return map[string]string{
		"auth": f.auth, "model": f.model, "profile": f.plan.Profile, "connections": fmt.Sprint(f.connections),
		"in flight": "1 a connection", "shard": f.shard,
	}
}

// raise brings up programs of its own and opens the campaigns.
func (f *runFlags) raise(ctx context.Context, w *crowd) error {
	stores, err := procs.StoresFrom(os.Getenv)
	if err != nil {
		return mistake{fmt.Errorf("%w\nname a --server, or: eval \"$(scripts/services.sh env)\"", err)}
	}
	logs, err := os.MkdirTemp("", "seonchak-load-")
	if err != nil {
		return err
	}
	if w.setup, err = setup.Of(ctx, stores, f.bin, f.settings()); err != nil {
		return err
	}
	if w.stage, err = stage.New(ctx, stage.Options{Stores: stores, Bin: f.bin, Logs: logs, Secret: w.options.Secret}); err != nil {
		return err
	}
	if err := f.open(ctx, w); err != nil {
		return lower(w.stage, err)
	}
	return nil
}

// lower ends the programs, and removes their logs when all went well.
func lower(s *stage.Stage, err error) error {
	if err = errors.Join(err, s.Close()); err != nil {
		return fmt.Errorf("%w\nthe logs of the programs are in %s", err, s.Dir)
	}
	return os.RemoveAll(s.Dir)
}

func (f *runFlags) open(ctx context.Context, w *crowd) error {
	if _, err := w.stage.StartConsumer(ctx, "LOG_LEVEL=warn"); err != nil {
		return err
	}
	w.options.Servers = []string{w.stage.Address()}
	for range w.plan.Campaigns {
		campaign, err := w.stage.Open(ctx, f.limit)
		if err != nil {
			return err
		}
		w.options.Campaigns = append(w.options.Campaigns, campaign)
	}
	return nil
}

// follow sends the plan, reports, and judges where there is a database.
func (f *runFlags) follow(c *cobra.Command, w *crowd) error {
	d := drive.New(w.options, w.plan.Stream(w.shard))
	stop := progress.Follow(c.ErrOrStderr(), "applies", w.plan.Count(w.shard), d.Answers)
	result, err := d.Run(c.Context(), w.begin)
	stop()
	if err != nil {
		return err
	}
	judged := judgement{dsn: f.dsn}
	if w.stage != nil {
		judged.dsn, judged.backlog = w.stage.DSN, w.stage.Backlog
	}
	if c.Context().Err() != nil {
		err = fmt.Errorf("interrupted after %s applies", drop.Number(result.Applies()))
	}
	return errors.Join(save(f.out, saved{w.shard, result, w.witness.State()}),
		finish(c, f.reportFlags, result, w.setup, w.witness, judged), err)
}
