package migrate

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/migrations"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/testenv"
)

type bundle struct {
	tb     testing.TB
	config *mysql.Config // of a database that is not there
	topic  string        // that is not there either
	log    bytes.Buffer
	admin  *kafkastream.Admin
}

func setup(t *testing.T) *bundle {
	t.Helper()
	config, err := mysql.ParseDSN(testenv.EmptyDatabase(t))
	require.NoError(t, err)
	server := config.Clone()
	config.DBName += "_new"
	var raw [6]byte
	_, _ = rand.Read(raw[:]) // never fails
	b := &bundle{
		tb: t, config: config, topic: "test.migrate." + hex.EncodeToString(raw[:]),
		admin: kafkastream.NewAdmin(kafkastream.Config{Brokers: testenv.Kafka(t)}),
	}
	client := &kafka.Client{Addr: kafka.TCP(testenv.Kafka(t)...), Timeout: 10 * time.Second}
	t.Cleanup(func() {
		db, err := open(server)
		require.NoError(t, err)
		_, err = db.Exec("DROP DATABASE IF EXISTS " + quote(config.DBName))
		require.NoError(t, err)
		require.NoError(t, db.Close())
		_, _ = client.DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{b.topic}})
		b.admin.Close()
	})
	return b
}

func (b *bundle) job(replicas int) *Job {
	return New(b.admin, Options{
		DSN: b.config.FormatDSN(), Migrations: migrations.FS,
		Topics:    []kafkastream.TopicSpec{{Name: b.topic, Partitions: 2, Replication: replicas}},
		Group:     testenv.Group(),
		MayWeaken: true,
		Progress:  func(int, int) {},
		Logger:    slog.New(slog.DiscardHandler),
	})
}

func (b *bundle) tables() (n int) {
	b.tb.Helper()
	db, err := open(b.config)
	require.NoError(b.tb, err)
	defer func() { _ = db.Close() }()
	require.NoError(b.tb, db.QueryRow("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ?", b.config.DBName).Scan(&n))
	return n
}

func files(t *testing.T) int {
	t.Helper()
	found, err := migrations.FS.ReadDir(".")
	require.NoError(t, err)
	return len(found)
}

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.job(1)
	seen := 0
	job.Progress = func(done, total int) {
		seen++
		require.Equal(t, []int{seen, files(t)}, []int{done, total})
	}

	first, err := job.RunOnce(t.Context())
	require.NoError(t, err)
	require.Equal(t, files(t), seen)
	require.Equal(t, b.config.DBName, first.Database)
	require.Len(t, first.Migrations, files(t))
	require.Equal(t, []string{b.topic}, first.Topics)
	lags, err := b.admin.Lag(t.Context(), testenv.Group(), b.topic)
	require.NoError(t, err, "the topic can be used at once")
	require.Len(t, lags, 2)
	tables := b.tables()
	require.Greater(t, tables, files(t))

	second, err := b.job(1).RunOnce(t.Context())
	require.NoError(t, err)
	require.Empty(t, second.Database)
	require.Empty(t, second.Migrations)
	require.Empty(t, second.Topics)
	require.Equal(t, "migrations applied 0, topics created 0", second.Summary())
	require.Equal(t, tables, b.tables())
}

func TestSeveralAtOnceAllSucceed(t *testing.T) {
	t.Parallel()
	const runs = 4
	b := setup(t)
	var results [runs]Result
	var errs [runs]error
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() { results[i], errs[i] = b.job(1).RunOnce(t.Context()) })
	}
	all.Wait()

	require.NoError(t, errors.Join(errs[:]...))
	applied, created := 0, 0
	for _, r := range results {
		applied += len(r.Migrations)
		created += len(r.Topics)
	}
	require.Equal(t, files(t), applied, "each migration ran once")
	require.Equal(t, 1, created, "the topic was made once")
}

func TestARunThatIsToldToStopDoesNotWaitForTheLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := ensureDatabase(t.Context(), b.config)
	require.NoError(t, err)
	db, err := open(b.config)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	session, err := lock(t.Context(), db, b.config.DBName)
	require.NoError(t, err)
	defer func() { _ = session.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	_, err = b.job(1).RunOnce(ctx)

	require.ErrorContains(t, err, "wait for another migration to end")
}

func TestATableInUseDoesNotHoldARunForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config, err := configure(b.config.FormatDSN())
	require.NoError(t, err)
	_, err = ensureDatabase(t.Context(), config)
	require.NoError(t, err)
	db, err := open(config)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	var patience string
	require.NoError(t, db.QueryRow("SELECT @@SESSION.lock_wait_timeout").Scan(&patience))
	require.Equal(t, lockPatience, patience)

	exec(t, db, "CREATE TABLE busy (id INT PRIMARY KEY)")
	reader, err := db.Begin()
	require.NoError(t, err)
	defer func() { _ = reader.Rollback() }()
	_, err = reader.Exec("SELECT * FROM busy")
	require.NoError(t, err)
	b.config.Params = map[string]string{"lock_wait_timeout": "1"} // what the DSN names is kept
	job := b.job(1)
	job.Migrations = fstest.MapFS{"00001_busy.sql": {Data: []byte("-- +goose Up\nALTER TABLE busy ADD COLUMN n INT;\n")}}

	result, err := job.RunOnce(t.Context())

	require.ErrorContains(t, err, "Lock wait timeout exceeded")
	require.Empty(t, result.Migrations)
	require.NoError(t, reader.Rollback())
	result, err = job.RunOnce(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"00001_busy.sql"}, result.Migrations)
}

func TestASingleBrokerHoldsOneCopy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.job(3)
	job.Logger = slog.New(slog.NewTextHandler(&b.log, nil))

	result, err := job.RunOnce(t.Context())

	require.NoError(t, err)
	require.Equal(t, []string{b.topic}, result.Topics)
	require.Equal(t, 1, result.Replicas)
	require.Contains(t, b.log.String(), "too few brokers")
}

func TestFewerCopiesMayBeForbidden(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.job(3)
	job.MayWeaken = false

	result, err := job.RunOnce(t.Context())

	require.ErrorContains(t, err, "KAFKA_REPLICATION_FACTOR")
	require.Empty(t, result.Topics)
	require.Len(t, result.Migrations, files(t), "the schema was migrated all the same")
}

func TestWithoutKafkaTheSchemaIsMigrated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin = kafkastream.NewAdmin(kafkastream.Config{Brokers: []string{"127.0.0.1:1"}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	result, err := b.job(1).RunOnce(ctx)

	require.ErrorContains(t, err, "create topics")
	require.Len(t, result.Migrations, files(t))
}

func TestAUserWhoMayNotCreateTheDatabaseIsToldWhatToDo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.config.Clone()
	root.DBName = ""
	db, err := open(root)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	user := "m" + b.topic[len(b.topic)-12:]
	exec(t, db, "CREATE USER '"+user+"'@'%'")
	t.Cleanup(func() {
		db, err := open(root)
		require.NoError(t, err)
		exec(t, db, "DROP USER '"+user+"'@'%'")
		_ = db.Close()
	})
	// A user who may use the database's tables, so that the server admits that there is none.
	exec(t, db, "GRANT SELECT ON "+quote(b.config.DBName)+".* TO '"+user+"'@'%'")
	b.config.User = user

	_, err = b.job(1).RunOnce(t.Context())

	require.ErrorContains(t, err, "let an administrator run: CREATE DATABASE IF NOT EXISTS `"+b.config.DBName+"`")
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	_, err := db.Exec(statement)
	require.NoError(t, err)
}
