// Command consumer turns the claims of the log into coupons: it reads Kafka, issues in MySQL, and commits offsets after.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/seonchak/seonchak/consumer/internal/audit"
	"github.com/seonchak/seonchak/consumer/internal/worker"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/env"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/pkg/service"
)

const (
	patience = 30 * time.Second
	drain    = 20 * time.Second

	workerBound = drain + time.Second
	leaveBound  = 10 * time.Second
	closeBound  = time.Second
	wardenBound = 2 * time.Second

	startupCheck = 5 * time.Second

	// lanes are how many campaigns are issued side by side.
	lanes = 4
	// conns are the lanes', one for the lead of the warden, eight for its fence, the others for pings and the audit.
	conns = lanes + 11
)

func main() {
	os.Exit(service.Main(service.ThisProcess(), program()))
}

func program() service.Program[config] {
	return service.Program[config]{
		Name:    "consumer",
		Summary: "turns the claims of the log into coupons",
		Admin:   func(c config) env.Address { return c.AdminAddr },
		Run:     run,
	}
}

func run(ctx context.Context, c config, shell service.Shell) error {
	return service.Run(ctx, shell.Logger, func(ctx context.Context, group *service.Group) error {
		return wire(ctx, c, shell.Logger, group)
	})
}

// wire builds the program from the stores up; what is registered first stops last: the batch in hand is finished and
// committed, then the group is left, and the stores are closed at the end.
func wire(ctx context.Context, c config, logger *slog.Logger, group *service.Group) error {
	admin, err := service.NewAdmin(ctx, service.AdminOptions{
		Address: c.AdminAddr, LoopbackOnly: c.AuthMode == authDev, PProf: c.PProf, Logger: logger,
	})
	if err != nil {
		return err
	}
	group.Serve(admin.HTTPServer)

	store, err := mysqlstore.Open(c.DSN.Reveal(), mysqlstore.Options{MaxConns: conns, Logger: logger})
	if err != nil {
		return env.Mistakes{fmt.Errorf("MYSQL_DSN: %w", err)}
	}
	group.OnStop("mysql", closeBound, func(context.Context) error { return store.Close() })
	log := kafkastream.NewAdmin(c.stream())
	group.OnStop("kafka", closeBound, func(context.Context) error { log.Close(); return nil })
	redisstock.LogTo(logger)
	client, err := redisstock.NewClient(c.URL.Reveal())
	if err != nil {
		return env.Mistakes{err}
	}
	group.OnStop("redis", closeBound, func(context.Context) error { return client.Close() })
	stock := redisstock.New(client)
	if err := check(ctx, c, logger, store, stock, log); err != nil {
		return err
	}
	admin.Metrics.MustRegister(collectors.NewDBStatsCollector(store.DB(), "coupon"), redisstock.NewPoolCollector(client))

	lag := worker.NewLag(log, c.Group, kafkastream.ClaimsTopic, admin.Metrics, logger)
	group.Go("lag", closeBound, lag.Run)
	group.Go("audit", closeBound, audit.New(store, audit.NewMetrics(admin.Metrics), time.Now, logger).Run)
	reader := kafkastream.NewReader(c.stream(), c.Group, kafkastream.ClaimsTopic, logger)
	group.OnStop("consumer group", leaveBound, func(context.Context) error { return reader.Close() })
	issuer := worker.New(reader, store, worker.Config{
		Batch: c.Batch, Lanes: lanes, Rate: float64(c.Rate), Patience: patience, Drain: drain, Now: time.Now,
	}, worker.NewMetrics(admin.Metrics), logger)
	group.Go("worker", workerBound, issuer.Run)
	group.Go("warden", wardenBound, newWarden(c, group, store, stock, log, issuer.Pace(), admin.Metrics, logger).Run)
	group.Ready(admin, 0)
	return nil
}

// check waits for the database and the log, and refuses to go on without their schema: a reader of a missing topic would
// wait for ever, and make the topic with the broker's defaults where it may. Redis is not waited for: only the warden needs
// it, and part of its work is to do without.
func check(
	ctx context.Context, c config, logger *slog.Logger, store *mysqlstore.Store, stock *redisstock.Stock, log *kafkastream.Admin,
) error {
	if err := await(ctx, logger, "mysql", store.Ping); err != nil {
		return err
	}
	if err := await(ctx, logger, "kafka", log.Ping); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startupCheck)
	defer cancel()
	if _, _, err := store.Failure(ctx, coupon.Key{}); err != nil {
		return fmt.Errorf("the database has no schema, run batch migrate: %w", err)
	}
	weak, err := log.Weaknesses(ctx, kafkastream.ClaimsTopic)
	if err != nil {
		return fmt.Errorf("the topic %s is missing, run batch migrate: %w", kafkastream.ClaimsTopic, err)
	}
	weakStore, err := store.Weaknesses(ctx)
	if err != nil {
		logger.Warn("store settings could not be checked", "store", "mysql", "error", err)
	}
	weakStock, err := stock.Weaknesses(ctx)
	if err != nil {
		logger.Warn("store settings could not be checked", "store", "redis", "error", err)
	}
	return service.WarnWeak(logger, c.Production(), c.AllowWeakStores, slices.Concat(weak, weakStore, weakStock))
}

// await asks a store until it answers. What a store refuses for good, a password say, ends the start.
func await(ctx context.Context, logger *slog.Logger, store string, ping func(context.Context) error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := once(ctx, ping)
		if err == nil {
			return nil
		}
		if coupon.CodeOf(err) != coupon.CodeUnavailable {
			return fmt.Errorf("reach %s: %w", store, err)
		}
		logger.Warn("waiting for a store", "store", store, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func once(ctx context.Context, ping func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startupCheck)
	defer cancel()
	return ping(ctx)
}
