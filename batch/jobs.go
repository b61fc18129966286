package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/seonchak/seonchak/batch/internal/migrate"
	"github.com/seonchak/seonchak/batch/internal/rebuild"
	"github.com/seonchak/seonchak/batch/internal/reconcile"
	"github.com/seonchak/seonchak/batch/internal/retryfailed"
	"github.com/seonchak/seonchak/batch/internal/sweep"
	"github.com/seonchak/seonchak/migrations"
	"github.com/seonchak/seonchak/pkg/env"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/outbox"
	"github.com/seonchak/seonchak/pkg/service"
)

// publishInFlight is one page of the outbox: a sweep stands back behind the applies.
const publishInFlight = 500

// work makes a runner's work of a job's RunOnce.
func work[R outcome](runOnce func(context.Context) (R, error)) func(context.Context) (outcome, error) {
	return func(ctx context.Context) (outcome, error) {
		result, err := runOnce(ctx)
		return result, err
	}
}

func (c *cli) migrateJob(ctx context.Context, s settings, shell service.Shell, f flags) error {
	config, err := s.kafka()
	if err != nil {
		return err
	}
	store, err := mysqlstore.Open(s.DSN.Reveal(), mysqlstore.Options{MaxConns: 1, Logger: shell.Logger})
	if err != nil {
		return env.Mistakes{fmt.Errorf("MYSQL_DSN: %w", err)}
	}
	defer func() { _ = store.Close() }()
	admin := kafkastream.NewAdmin(config)
	defer admin.Close()
	bar := c.progress("files")
	defer bar.end()
	job := migrate.New(admin, migrate.Options{
		DSN:        s.DSN.Reveal(),
		Migrations: migrations.FS,
		Topics: []kafkastream.TopicSpec{
			{Name: kafkastream.ClaimsTopic, Partitions: kafkastream.Partitions, Replication: s.ReplicationFactor},
		},
		Group:     s.Group,
		MayWeaken: !s.Production() || s.AllowWeakStores,
		Progress:  bar.at,
		Logger:    shell.Logger,
	})
	r := runner{
		job: "migrate", runs: store, founds: true, flags: f, work: work(job.RunOnce),
		summary: shell.Stdout, logger: shell.Logger,
	}
	return r.run(ctx)
}

func (c *cli) retryFailedJob(ctx context.Context, s settings, shell service.Shell, f flags) error {
	all, err := open(s, shell.Logger)
	if err != nil {
		return err
	}
	defer all.close()
	if err := all.warn(ctx, s, shell.Logger, all.store); err != nil {
		return err
	}
	bar := c.progress("events")
	defer bar.end()
	job := retryfailed.New(all.store, all.store, retryfailed.Options{
		Now: time.Now, Jitter: mathrand.Float64, Random: rand.Reader, Progress: bar.add, Logger: shell.Logger,
	})
	r := runner{
		job: "retry-failed", runs: all.store, flags: f, work: work(job.RunOnce),
		summary: shell.Stdout, logger: shell.Logger,
	}
	return r.run(ctx)
}

func (c *cli) sweepJob(ctx context.Context, s settings, shell service.Shell, f flags) error {
	all, err := open(s, shell.Logger)
	if err != nil {
		return err
	}
	defer all.close()
	if err := all.warn(ctx, s, shell.Logger, all.store, all.stock, claims{all.admin}); err != nil {
		return err
	}
	producer := kafkastream.NewProducer(all.kafka, kafkastream.ClaimsTopic, publishInFlight)
	defer closeProducer(ctx, producer)
	bar := c.progress("campaigns")
	defer bar.end()
	job := sweep.New(all.store, outbox.New(all.stock, producer), sweep.Options{
		OlderThan: f.olderThan, Progress: bar.at, Logger: shell.Logger,
	})
	r := runner{
		job: "sweep", runs: all.store, flags: f, work: work(job.RunOnce),
		summary: shell.Stdout, logger: shell.Logger,
	}
	return r.run(ctx)
}

// closeProducer waits for nothing of worth: a sweep has waited for every answer, or was cut short.
func closeProducer(ctx context.Context, producer *kafkastream.Producer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = producer.Close(ctx)
}

func (c *cli) reconcileJob(ctx context.Context, s settings, shell service.Shell, f flags) error {
	all, err := open(s, shell.Logger)
	if err != nil {
		return err
	}
	defer all.close()
	if err := all.warn(ctx, s, shell.Logger, all.store, all.stock, claims{all.admin}); err != nil {
		return err
	}
	bar := c.progress("campaigns")
	defer bar.end()
	var tools *reconcile.Tools
	if f.repair {
		producer := kafkastream.NewProducer(all.kafka, kafkastream.ClaimsTopic, publishInFlight)
		defer closeProducer(ctx, producer)
		tools = all.tools(s.Group, producer)
	}
	job := reconcile.New(all.store, all.stock, all.admin, reconcile.Options{
		Group: s.Group, Topic: kafkastream.ClaimsTopic, Wait: f.wait, Claims: f.claims, Tools: tools,
		Now: time.Now, Progress: bar.at,
	})
	r := runner{
		job: "reconcile", runs: all.store, flags: f, work: work(job.RunOnce),
		show:    func(o outcome) error { return showReport(shell.Stdout, o.(reconcile.Result), f.json) },
		summary: c.system.Stderr, logger: shell.Logger,
	}
	return r.run(ctx)
}

func (c *cli) rebuildJob(ctx context.Context, s settings, shell service.Shell, f flags) error {
	all, err := open(s, shell.Logger)
	if err != nil {
		return err
	}
	defer all.close()
	if err := all.warn(ctx, s, shell.Logger, all.store, all.stock); err != nil {
		return err
	}
	bar := c.progress("campaigns")
	defer bar.end()
	job := rebuild.New(all.store, all.stock, rebuild.Options{
		Campaigns: f.names, Now: time.Now, Progress: bar.at, Logger: shell.Logger,
	})
	r := runner{
		job: "rebuild", runs: all.store, flags: f, work: work(job.RunOnce),
		summary: shell.Stdout, logger: shell.Logger,
	}
	return r.run(ctx)
}

// tools are what reconcile repairs with: the steps of the api-servers and of the warden.
func (stores stores) tools(group string, producer *kafkastream.Producer) *reconcile.Tools {
	sweeper := outbox.New(stores.stock, producer)
	progress := kafkastream.NewGroup(stores.admin, group, kafkastream.ClaimsTopic)
	return &reconcile.Tools{
		Outbox: sweeper, Log: producer, Desk: stores.store, Redis: stores.stock,
		Fence: fence.NewFence(stores.store, stores.stock, progress, sweeper, fence.Options{Now: time.Now, Loaded: func(int) {}}),
	}
}

func showReport(w io.Writer, report reconcile.Result, asJSON bool) error {
	if !asJSON {
		return report.WriteTable(w)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// progress is a bar for a person at a terminal, a spinner until a total is known, and nothing for cron.
type progress struct{ bar *progressbar.ProgressBar }

func (c *cli) progress(unit string) progress {
	file, ok := c.system.Stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return progress{}
	}
	const endless = -1
	return progress{progressbar.NewOptions(endless,
		progressbar.OptionSetWriter(file),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

func (p progress) add(n int) {
	if p.bar != nil {
		_ = p.bar.Add(n) // a bar that cannot be drawn is no reason to stop
	}
}

// at shows how far a job is that knows its total. A job that looks again begins again.
func (p progress) at(done, total int) {
	if p.bar == nil {
		return
	}
	if p.bar.IsFinished() {
		p.bar.Reset()
	}
	p.bar.ChangeMax(total)
	_ = p.bar.Set(done) // as in add
}

func (p progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// claims asks about the topic of claims alone.
type claims struct{ admin *kafkastream.Admin }

func (c claims) Weaknesses(ctx context.Context) ([]string, error) {
	found, err := c.admin.Weaknesses(ctx, kafkastream.ClaimsTopic)
	return found, wrap("look at topic "+kafkastream.ClaimsTopic, err)
}
