package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/seonchak/seonchak/pkg/env"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/pkg/service"
)

// conns is the database pool of one job: it works page by page, not in parallel.
const conns = 4

// stores are the three stores. Nothing is dialled before it is used.
type stores struct {
	store *mysqlstore.Store
	stock *redisstock.Stock
	admin *kafkastream.Admin
	kafka kafkastream.Config
	close func()
}

func open(s settings, logger *slog.Logger) (stores, error) {
	var mistakes env.Mistakes
	note := func(variable string, err error) {
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", variable, err))
		}
	}
	store, err := mysqlstore.Open(s.DSN.Reveal(), mysqlstore.Options{MaxConns: conns, Logger: logger})
	note("MYSQL_DSN", err)
	redisstock.LogTo(logger)
	client, err := redisstock.NewClient(s.URL.Reveal())
	note("REDIS_URL", err)
	kafka, err := s.kafka()
	note("KAFKA_BROKERS", err)
	if len(mistakes) > 0 {
		return stores{}, mistakes
	}
	admin := kafkastream.NewAdmin(kafka)
	return stores{store, redisstock.New(client), admin, kafka, func() {
		admin.Close()
		_ = client.Close()
		_ = store.Close()
	}}, nil
}

// kafka returns how the log is reached.
func (s settings) kafka() (kafkastream.Config, error) {
	config := kafkastream.Config{
		Brokers: s.Brokers, TLS: s.TLS,
		SASLMechanism: s.SASLMechanism, SASLUsername: s.SASLUsername, SASLPassword: s.SASLPassword.Reveal(),
		ClientID: name,
	}
	if err := config.Validate(); err != nil {
		return config, env.Mistakes{err}
	}
	return config, nil
}

type weak interface {
	Weaknesses(ctx context.Context) ([]string, error)
}

// warn looks at the settings on which the promises rest. A store that does not answer is left to the job to find out.
func (stores) warn(ctx context.Context, s settings, logger *slog.Logger, of ...weak) error {
	const bound = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	var all []string
	for _, store := range of {
		found, err := store.Weaknesses(ctx)
		if err != nil {
			logger.Warn("a store's settings are unknown", "error", err)
		}
		all = append(all, found...)
	}
	return service.WarnWeak(logger, s.Production(), s.AllowWeakStores, all)
}
