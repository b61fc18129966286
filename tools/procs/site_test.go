package procs

import (
	"context"
	"database/sql"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestASiteIsPrivate(t *testing.T) {
	t.Parallel()
	stores := Stores{Redis: testenv.Redis(t), Kafka: strings.Join(testenv.Kafka(t), ","), MySQL: testenv.EmptyDatabase(t)}
	bin := build(t, "batch", "consumer")
	other := site(t, stores, bin) // makes the topic, if nobody has yet
	publish(t, stores)            // left over from somebody else

	s := site(t, stores, bin)
	require.NotEqual(t, other.DSN, s.DSN)
	consumer, err := s.StartConsumer(t.Context())
	require.NoError(t, err)
	foreign := publish(t, stores)
	db := open(t, s.DSN)
	await(t, "the new record is in the database", func() bool {
		var found int
		require.NoError(t, db.QueryRow(`SELECT COUNT(*) FROM failed_events WHERE user_id = ?`, foreign).Scan(&found))
		return found == 1
	})
	var leftovers int
	require.NoError(t, db.QueryRow(`SELECT COUNT(*) FROM failed_events WHERE user_id <> ? AND user_id LIKE 'site-test-%'`, foreign).Scan(&leftovers))
	require.Zero(t, leftovers)
	await(t, "the consumer says that it is done", func() bool {
		backlog, err := s.Backlog(t.Context())
		return err == nil && backlog == 0
	})

	output, code, err := s.Batch(t.Context(), "no-such-job")
	require.NoError(t, err)
	require.Equal(t, 2, code, output)

	require.NoError(t, consumer.Pause())
	require.NoError(t, s.Close()) // a paused program too
	<-consumer.Exited()
	require.ErrorContains(t, open(t, s.DSN).Ping(), "Unknown database")
}

func TestASiteThatCannotBeMade(t *testing.T) {
	t.Parallel()
	stores := Stores{Redis: testenv.Redis(t), Kafka: "127.0.0.1:1", MySQL: testenv.EmptyDatabase(t)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := NewSite(ctx, stores, build(t, "batch"), t.TempDir())
	require.ErrorContains(t, err, "batch migrate: exit code 1")
}

func site(t *testing.T, stores Stores, bin string) *Site {
	t.Helper()
	s, err := NewSite(t.Context(), stores, bin, t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func build(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range programs {
		command := exec.Command("go", "build", "-o", filepath.Join(dir, program), ".")
		command.Dir = filepath.Join("..", "..", program)
		output, err := command.CombinedOutput()
		require.NoError(t, err, "build %s: %s", program, output)
	}
	return dir
}

// publish puts a claim for a campaign that no database knows into the log, and returns its user.
func publish(t *testing.T, stores Stores) string {
	t.Helper()
	user := "site-test-" + token()
	producer := kafkastream.NewProducer(kafkastream.Config{Brokers: strings.Split(stores.Kafka, ",")}, kafkastream.ClaimsTopic, 1)
	claim := coupon.Claim{Key: coupon.Key{Campaign: "nobody-knows-it", User: user, N: 1}, Epoch: 1, Serial: 1, ClaimedAt: time.Now()}
	for _, err := range producer.PublishAll(t.Context(), []coupon.Claim{claim}) {
		require.NoError(t, err)
	}
	require.NoError(t, producer.Close(t.Context()))
	return user
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}
