package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seonchak/seonchak/consumer/internal/worker"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/outbox"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/pkg/service"
	"github.com/seonchak/seonchak/pkg/warden"
)

// flushInFlight is what a fence publishes at once of what Redis still knows: a page of the outbox for each campaign it works
// on at the same time.
const flushInFlight = 4000

// newWarden wires the warden of this process, and registers the stop of what it publishes with.
func newWarden(
	c config, group *service.Group, store *mysqlstore.Store, stock *redisstock.Stock, log *kafkastream.Admin,
	pace *worker.Pace, registry prometheus.Registerer, logger *slog.Logger,
) *warden.Warden {
	producer := kafkastream.NewProducer(c.stream(), kafkastream.ClaimsTopic, flushInFlight)
	group.OnStop("producer", closeBound, producer.Close)
	progress := kafkastream.NewGroup(log, c.Group, kafkastream.ClaimsTopic)
	metrics := warden.NewMetrics(registry)
	return warden.New(warden.Parts{
		Record: store,
		Lead: func(ctx context.Context) (warden.Lead, error) {
			lead, err := store.Lead(ctx)
			if err != nil {
				return nil, err // and no Lead that holds a nil
			}
			return lead, nil
		},
		Stock: stock,
		Fence: fence.NewFence(store, stock, progress, outbox.New(stock, producer), fence.Options{
			Now: time.Now, Loaded: metrics.Loaded,
		}),
		Log: progress, Pace: pace, Now: time.Now, Metrics: metrics, Logger: logger,
	})
}
