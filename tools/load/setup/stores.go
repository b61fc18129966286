package setup

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strings"

	_ "github.com/go-sql-driver/mysql" // driver of databaseVersion
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seonchak/seonchak/tools/procs"
)

var redisSays = regexp.MustCompile(`(?m)^redis_version:(\S+)`)

func redisVersion(ctx context.Context, stores procs.Stores) (_ string, err error) {
	options, err := redis.ParseURL(stores.Redis)
	if err != nil {
		return "", err
	}
	client := redis.NewClient(options)
	defer func() { err = errors.Join(err, client.Close()) }()
	told, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	found := redisSays.FindStringSubmatch(told)
	if found == nil {
		return "unknown", nil
	}
	return found[1], nil
}

// kafkaVersion is what the broker's requests say: its own number it tells nobody.
func kafkaVersion(ctx context.Context, stores procs.Stores) (string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(stores.Kafka, ",")...))
	if err != nil {
		return "", err
	}
	defer client.Close()
	told, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(kversion.FromApiVersionsResponse(told).VersionGuess(), "v"), nil
}

func databaseVersion(ctx context.Context, stores procs.Stores) (version string, err error) {
	db, err := sql.Open("mysql", stores.MySQL)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return version, db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
}
