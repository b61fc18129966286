package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/service"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// start runs the program with an environment of its own and returns its exit code and standard error.
func start(environ ...string) (int, string) {
	var stdout, stderr bytes.Buffer
	code := service.Main(service.System{
		Environ: environ, Stdout: &stdout, Stderr: &stderr, Signals: make(chan os.Signal),
	}, program())
	return code, stderr.String()
}

func TestEveryMistakeIsListed(t *testing.T) {
	t.Parallel()
	code, said := start("ISSUE_BATCH=1001", "ISSUE_RATE=-1", "ADMIN_ADDR=8082", "AUTH_MODE=none", "KAFKA_BROKERS=,",
		"MYSQL_DSN=db", "REDIS_URL=http://x")
	require.Equal(t, 2, code)
	for _, variable := range []string{"ISSUE_BATCH", "ISSUE_RATE", "ADMIN_ADDR", "AUTH_MODE", "KAFKA_BROKERS", "MYSQL_DSN", "REDIS_URL"} {
		require.Contains(t, said, "consumer: "+variable)
	}
	require.Equal(t, 7, strings.Count(said, "\n"))
}

func TestContradictingDSNIsAMistake(t *testing.T) {
	t.Parallel()
	code, said := start("ADMIN_ADDR=127.0.0.1:0", "MYSQL_DSN=root@tcp(127.0.0.1:1)/coupon?clientFoundRows=true")
	require.Equal(t, 2, code)
	require.Contains(t, said, "consumer: MYSQL_DSN: ")
}

func TestMissingSchemaEndsTheStart(t *testing.T) {
	t.Parallel()
	code, said := start("ADMIN_ADDR=127.0.0.1:0", "MYSQL_DSN="+testenv.EmptyDatabase(t),
		"KAFKA_BROKERS="+strings.Join(testenv.Kafka(t), ","))
	require.Equal(t, 1, code)
	require.Contains(t, said, "the database has no schema, run batch migrate")
}

// Redis is needed by nobody but the warden, whose work it is to do without.
func TestWithoutRedisItStartsAndTakesCampaignsToModeSQL(t *testing.T) {
	t.Parallel()
	dsn, group := testenv.MySQL(t), testenv.Group()
	store, err := mysqlstore.Open(dsn, mysqlstore.Options{})
	require.NoError(t, err)
	defer func() { _ = store.Close() }()
	id := openInRedis(t, store)
	atEnd(t, group)

	signals := make(chan os.Signal, 1)
	var stdout, stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- service.Main(service.System{
			Environ: []string{
				"ADMIN_ADDR=127.0.0.1:0", "MYSQL_DSN=" + dsn, "KAFKA_BROKERS=" + strings.Join(testenv.Kafka(t), ","),
				"KAFKA_GROUP=" + group, "REDIS_URL=redis://127.0.0.1:1",
			},
			Stdout: &stdout, Stderr: &stderr, Signals: signals,
		}, program())
	}()
	require.Eventually(t, func() bool {
		c, err := store.Campaign(t.Context(), id)
		return err == nil && c.Mode == coupon.ModeSQL && c.EpochState == coupon.EpochActive
	}, 40*time.Second, 100*time.Millisecond)
	signals <- syscall.SIGTERM
	require.Zero(t, <-code, stderr.String())
	require.Contains(t, stderr.String(), "fence finished")
}

// openInRedis opens a campaign in mode redis, in MySQL alone.
func openInRedis(t *testing.T, store *mysqlstore.Store) string {
	t.Helper()
	id := testenv.Campaign()
	require.NoError(t, store.CreateCampaign(t.Context(), coupon.Campaign{
		ID: id, Name: id, Limit: 10, PerUserLimit: 1, StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
	}))
	c, err := store.BeginEpoch(t.Context(), id, coupon.ModeRedis)
	require.NoError(t, err)
	_, err = store.ActivateEpoch(t.Context(), c.Document())
	require.NoError(t, err)
	return id
}

// atEnd makes a group of which what other tests have sent is no concern.
func atEnd(t *testing.T, group string) {
	t.Helper()
	admin := kafkastream.NewAdmin(kafkastream.Config{Brokers: testenv.Kafka(t)})
	defer admin.Close()
	_, err := admin.EnsureTopics(t.Context(), []kafkastream.TopicSpec{
		{Name: kafkastream.ClaimsTopic, Partitions: kafkastream.Partitions, Replication: 1},
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return admin.SeekToEnd(t.Context(), group, kafkastream.ClaimsTopic) == nil
	}, 20*time.Second, 100*time.Millisecond)
}
