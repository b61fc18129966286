// Command api-server takes applies for coupons: it claims in Redis, publishes to Kafka, and answers only what is true.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/seonchak/seonchak/api-server/internal/adminapi"
	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/api-server/internal/httpapi"
	"github.com/seonchak/seonchak/api-server/internal/operate"
	"github.com/seonchak/seonchak/pkg/env"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/outbox"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/pkg/service"
)

// How long each step of the stop may take; together with the two listeners' own bounds, less than service.Group allows.
const (
	requestBound = 6 * time.Second // the longest an apply can take, and some
	drainBound   = 3 * time.Second
	flushBound   = 3 * time.Second
	loopBound    = 3 * time.Second
	closeBound   = 500 * time.Millisecond

	// lameDuck is how long a production server still serves after its readiness went off, for balancers to notice.
	lameDuck = time.Second

	startupCheck = 3 * time.Second
)

func main() {
	os.Exit(service.Main(service.ThisProcess(), service.Program[config]{
		Name:    "api-server",
		Summary: "takes applies for coupons and answers only what is true",
		Admin:   func(c config) env.Address { return c.AdminAddr },
		Run:     run,
	}))
}

func run(ctx context.Context, c config, shell service.Shell) error {
	return service.Run(ctx, shell.Logger, func(ctx context.Context, group *service.Group) error {
		return wire(ctx, c, shell.Logger, group)
	})
}

// wire builds the program from the stores up; what is registered first stops last: requests are drained, then the stages
// behind them, then the producer is flushed, and the stores are closed at the end.
func wire(ctx context.Context, c config, logger *slog.Logger, group *service.Group) error {
	admin, err := service.NewAdmin(ctx, service.AdminOptions{
		Address: c.AdminAddr, LoopbackOnly: c.dev(), PProf: c.PProf, Logger: logger,
	})
	if err != nil {
		return err
	}
	group.Serve(admin.HTTPServer)
	if c.dev() {
		logger.Warn("AUTH_MODE=dev: nobody is authenticated; never use it for real users")
	}

	store, err := mysqlstore.Open(c.DSN.Reveal(), mysqlstore.Options{Logger: logger})
	if err != nil {
		return err
	}
	group.OnStop("mysql", closeBound, func(context.Context) error { return store.Close() })
	redisstock.LogTo(logger)
	client, err := redisstock.NewClient(c.URL.Reveal())
	if err != nil {
		return err
	}
	group.OnStop("redis", closeBound, func(context.Context) error { return client.Close() })
	stock := redisstock.New(client)
	producer := kafkastream.NewProducer(c.stream(), kafkastream.ClaimsTopic, c.InFlight)
	group.OnStop("producer", flushBound, producer.Close)
	log := kafkastream.NewAdmin(c.stream())
	group.OnStop("kafka", closeBound, func(context.Context) error { log.Close(); return nil })
	if err := warnWeak(ctx, c, logger, store, stock, log); err != nil {
		return err
	}

	metrics := apply.NewMetrics(admin.Metrics)
	view := apply.NewView(store, logger)
	if err := awaitView(ctx, view, logger); err != nil {
		return err
	}
	group.Go("view", loopBound, func(ctx context.Context) error { view.Run(ctx); return nil })
	keeper := apply.NewKeeper(view, stock, store, outbox.New(stock, producer), metrics, logger)
	group.Go("keeper", loopBound, func(ctx context.Context) error { keeper.Run(ctx); return nil })
	applies := apply.NewService(view, stock, producer, store, apply.Limits{Queue: c.Queue, Batch: c.Batch}, metrics, logger)
	group.OnStop("applies", drainBound, applies.Drain)
	admin.Metrics.MustRegister(
		collectors.NewDBStatsCollector(store.DB(), "coupon"),
		redisstock.NewPoolCollector(client),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coupon_apply_queue_depth", Help: "Applies waiting or being worked on.",
		}, func() float64 { return float64(applies.Depth()) }),
	)

	auth := c.authenticator()
	operator := operate.New(store, fence.New(store, stock), stock, view, logger)
	limits := operate.NewLimits(store, stock, view, logger)
	statistics := operate.NewStatistics(store, store, stock, backlog{log, c.Group})
	admin.Handle("/admin/v1/", adminapi.New(operator, limits, store, statistics, metrics, auth, logger))
	public, err := service.Listen(ctx, service.HTTPOptions{
		Name: "public listener", Address: c.HTTPAddr, Logger: logger, Drain: requestBound,
		Handler: httpapi.New(applies, store, view, keeper, auth, metrics, logger),
	})
	if err != nil {
		return err
	}
	group.Serve(public)
	group.Ready(admin, c.lameDuck())
	return nil
}

func (c config) authenticator() httpapi.Authenticator {
	if c.dev() {
		return httpapi.Dev{}
	}
	return httpapi.NewBearer([]byte(c.Secret.Reveal()), c.Issuer, c.Audience)
}

func (c config) lameDuck() time.Duration {
	if c.Production() {
		return lameDuck
	}
	return 0
}

// awaitView reads the campaigns for the first time. Before that every campaign would be "not found", which is not true,
// so the server does not serve.
func awaitView(ctx context.Context, view *apply.View, logger *slog.Logger) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := view.Refresh(ctx)
		if err == nil {
			return nil
		}
		logger.Warn("campaigns cannot be read yet", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// warnWeak asks each store for settings that weaken what it is trusted for. A store that is away is asked at the next
// start: the server must come up without it.
func warnWeak(ctx context.Context, c config, logger *slog.Logger, store *mysqlstore.Store, stock *redisstock.Stock, log *kafkastream.Admin) error {
	ctx, cancel := context.WithTimeout(ctx, startupCheck)
	defer cancel()
	var weaknesses []string
	for name, ask := range map[string]func(context.Context) ([]string, error){
		"mysql": store.Weaknesses,
		"redis": stock.Weaknesses,
		"kafka": func(ctx context.Context) ([]string, error) { return log.Weaknesses(ctx, kafkastream.ClaimsTopic) },
	} {
		found, err := ask(ctx)
		if err != nil {
			logger.Warn("store settings could not be checked", "store", name, "error", err)
		}
		weaknesses = append(weaknesses, found...)
	}
	return service.WarnWeak(logger, c.Production(), c.AllowWeakStores, weaknesses)
}

// backlog adds up the lag of the consumer group.
type backlog struct {
	log   *kafkastream.Admin
	group string
}

func (b backlog) Backlog(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, startupCheck)
	defer cancel()
	partitions, err := b.log.Lag(ctx, b.group, kafkastream.ClaimsTopic)
	if err != nil {
		return 0, err
	}
	return kafkastream.TotalLag(partitions), nil
}
