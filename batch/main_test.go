package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/service"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// buffer is an output that may be read while it is written.
type buffer struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.text.String()
}

// process is one run of the program.
type process struct {
	environ  []string
	out, err buffer
	signals  chan os.Signal
}

func program(environ ...string) *process {
	return &process{environ: environ, signals: make(chan os.Signal, 2)}
}

func (p *process) run(args ...string) int {
	return run(service.System{Args: args, Environ: p.environ, Stdout: &p.out, Stderr: &p.err, Signals: p.signals})
}

// onStores returns the environment of a program on a migrated database of its own.
func onStores(t *testing.T) (dsn string, environ []string) {
	t.Helper()
	dsn = testenv.MySQL(t)
	return dsn, []string{
		"MYSQL_DSN=" + dsn, "REDIS_URL=" + testenv.Redis(t), "KAFKA_BROKERS=" + strings.Join(testenv.Kafka(t), ","),
		"KAFKA_GROUP=" + testenv.Group(), "KAFKA_REPLICATION_FACTOR=1",
	}
}

func openStore(t *testing.T, dsn string) *mysqlstore.Store {
	t.Helper()
	store, err := mysqlstore.Open(dsn, mysqlstore.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// open10 opens a campaign of 10 places that nobody has claimed of, in MySQL alone.
func open10(t *testing.T, store *mysqlstore.Store) string {
	t.Helper()
	id := testenv.Campaign()
	require.NoError(t, store.CreateCampaign(t.Context(), coupon.Campaign{
		ID: id, Name: id, Limit: 10, PerUserLimit: 1, StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
	}))
	campaign, err := store.BeginEpoch(t.Context(), id, coupon.ModeRedis)
	require.NoError(t, err)
	_, err = store.ActivateEpoch(t.Context(), campaign.Document())
	require.NoError(t, err)
	return id
}

func fail(t *testing.T, store *mysqlstore.Store, campaign string, size int) {
	t.Helper()
	events := make([]coupon.FailedEvent, size)
	for i := range events {
		events[i] = coupon.FailedEvent{
			Campaign: campaign, Epoch: 1, Payload: []byte("{}"), Reason: coupon.ReasonTransientExhausted,
			Claim: coupon.Claim{
				Key:   coupon.Key{Campaign: campaign, User: fmt.Sprintf("u%d", i), N: 1},
				Epoch: 1, Serial: int64(i + 1), ClaimedAt: time.Now(),
			},
		}
	}
	require.NoError(t, store.Park(t.Context(), events))
}

// lastRun returns what batch_runs says of the newest run of a job.
func lastRun(t *testing.T, store *mysqlstore.Store, job string) (ok bool, summary string) {
	t.Helper()
	row := store.DB().QueryRowContext(t.Context(),
		"SELECT ok, summary FROM batch_runs WHERE job = ? AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1", job)
	require.NoError(t, row.Scan(&ok, &summary))
	return ok, summary
}

func runsOf(t *testing.T, store *mysqlstore.Store, job string) (n int) {
	t.Helper()
	row := store.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM batch_runs WHERE job = ?", job)
	require.NoError(t, row.Scan(&n))
	return n
}

func TestAllMistakesAreListed(t *testing.T) {
	t.Parallel()
	p := program("MYSQL_DSN=nonsense", "REDIS_URL=http://x", "KAFKA_BROKERS=nope", "KAFKA_REPLICATION_FACTOR=0", "LOG_LEVEL=loud")

	require.Equal(t, exitMisconfigured, p.run("reconcile", "--wait", "1h"))

	lines := strings.Split(strings.TrimSpace(p.err.String()), "\n")
	require.Len(t, lines, 6)
	for _, word := range []string{"--wait", "MYSQL_DSN", "REDIS_URL", "KAFKA_BROKERS", "KAFKA_REPLICATION_FACTOR", "LOG_LEVEL"} {
		require.Equal(t, 1, strings.Count(p.err.String(), "batch: "+word), p.err.String())
	}
	require.Empty(t, p.out.String())
}

func TestContradictionsOfTheClientsAreMistakesToo(t *testing.T) {
	t.Parallel()
	p := program("MYSQL_DSN=root@tcp(127.0.0.1:1)/coupon?loc=Local", "REDIS_URL=redis://127.0.0.1:1/x")

	require.Equal(t, exitMisconfigured, p.run("sweep"))

	require.Contains(t, p.err.String(), "batch: MYSQL_DSN: DSN parameter loc must be UTC")
	require.Contains(t, p.err.String(), "batch: REDIS_URL: ")
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{}, exitMisconfigured, "which job?"},
		{[]string{"sweeep"}, exitMisconfigured, `unknown command "sweeep"`},
		{[]string{"sweep", "--fast"}, exitMisconfigured, "unknown flag: --fast"},
		{[]string{"sweep", "now"}, exitMisconfigured, "now"},
		{[]string{"sweep", "--older-than", "1s"}, exitMisconfigured, "--older-than must be at least 2s"},
		{[]string{"retry-failed", "--timeout", "0s"}, exitMisconfigured, "--timeout must be above 0"},
		{[]string{"rebuild"}, exitMisconfigured, "name the campaigns to rebuild, or say --all"},
		{[]string{"rebuild", "winter", "--all"}, exitMisconfigured, "name the campaigns to rebuild, or say --all"},
		{[]string{"rebuild", "--help"}, exitOK, "--all"},
		{[]string{"migrate", "--every", "1m"}, exitMisconfigured, "unknown flag: --every"},
		{[]string{"--version"}, exitOK, "batch "},
		{[]string{"reconcile", "--help"}, exitOK, "--json"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			p := program()
			require.Equal(t, c.code, p.run(c.args...))
			require.Contains(t, p.out.String()+p.err.String(), c.says)
		})
	}
}

func TestHelpListsEveryVariable(t *testing.T) {
	t.Parallel()
	p := program("MYSQL_DSN=nonsense")
	require.Equal(t, exitOK, p.run("--help"))
	for _, variable := range []string{
		"APP_ENV", "ALLOW_WEAK_STORES", "LOG_LEVEL", "LOG_FORMAT", "OTEL_EXPORTER_OTLP_ENDPOINT", "REDIS_URL", "KAFKA_BROKERS",
		"KAFKA_TLS", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE", "MYSQL_DSN", "KAFKA_GROUP",
		"KAFKA_REPLICATION_FACTOR",
	} {
		require.Contains(t, p.out.String(), "\n"+variable+" ")
	}
	for _, job := range []string{"migrate", "retry-failed", "sweep", "reconcile", "rebuild", "healthcheck"} {
		require.Contains(t, p.out.String(), "\n  "+job+" ")
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	_, environ := onStores(t)
	require.Equal(t, exitOK, program(append(environ, "LOG_LEVEL=loud")...).run("healthcheck"), "another setting is not asked")
	require.Equal(t, exitFailed, program("MYSQL_DSN=root@tcp(127.0.0.1:1)/coupon").run("healthcheck"))
	require.Equal(t, exitMisconfigured, program("MYSQL_DSN=nonsense").run("healthcheck"))
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	_, environ := onStores(t)
	environ[0] = "MYSQL_DSN=" + testenv.EmptyDatabase(t)

	p := program(environ...)
	require.Equal(t, exitOK, p.run("migrate"), p.err.String())
	require.Contains(t, p.out.String(), "migrate: migrations applied ")
	require.NotContains(t, p.out.String(), "applied 0")
	store := openStore(t, strings.TrimPrefix(environ[0], "MYSQL_DSN="))
	ok, summary := lastRun(t, store, "migrate")
	require.True(t, ok)
	require.Contains(t, summary, `00001`)

	p = program(environ...)
	require.Equal(t, exitOK, p.run("migrate"), p.err.String())
	require.Contains(t, p.out.String(), "migrate: migrations applied 0, topics created 0")

	require.Equal(t, 2, runsOf(t, store, "migrate"))

	p = program("MYSQL_DSN=root@tcp(127.0.0.1:1)/coupon", environ[2])
	require.Equal(t, exitFailed, p.run("migrate"))
	require.NotContains(t, p.err.String(), "record the run")
}

func TestAMigrationThatMadeTheSchemaAloneIsRecorded(t *testing.T) {
	t.Parallel()
	dsn := testenv.EmptyDatabase(t)
	p := program("MYSQL_DSN="+dsn, "KAFKA_BROKERS=127.0.0.1:1")

	require.Equal(t, exitFailed, p.run("migrate", "--timeout", "20s"))

	store := openStore(t, dsn)
	ok, summary := lastRun(t, store, "migrate")
	require.False(t, ok)
	require.Contains(t, summary, "create topics")
	require.Equal(t, 1, runsOf(t, store, "migrate"))
}

func TestEveryJobLooksAtTheStoresItUses(t *testing.T) {
	t.Parallel()
	_, environ := onStores(t)
	require.Equal(t, exitOK, program(environ...).run("migrate"), "the topic is needed")
	environ[1] = "REDIS_URL=" + testenv.PrivateRedis(t).URL // keeps nothing on disk
	for _, job := range []string{"sweep", "reconcile"} {
		p := program(environ...)
		require.Equal(t, exitOK, p.run(job), p.err.String())
		require.Contains(t, p.err.String(), "weak setting")

		p = program(append(environ, "APP_ENV=production")...)
		require.Equal(t, exitMisconfigured, p.run(job), p.err.String())
		require.Contains(t, p.err.String(), "appendonly no")
		require.Contains(t, p.err.String(), "topic coupon.claims")
	}
}

func TestRetryFailed(t *testing.T) {
	t.Parallel()
	dsn, environ := onStores(t)
	store := openStore(t, dsn)
	fail(t, store, open10(t, store), 10)

	p := program(environ...)
	require.Equal(t, exitOK, p.run("retry-failed"), p.err.String())
	require.Contains(t, p.out.String(), "retry-failed: taken 10, issued 10, postponed 0, parked 0, took ")
	ok, summary := lastRun(t, store, "retry-failed")
	require.True(t, ok)
	require.JSONEq(t, `{"result":{"taken":10,"outcomes":{"issued":10},"postponed":0,"parked":0,"lost":0}}`, summary)

	fail(t, store, open10(t, store), 11) // the last serial lies outside the epoch
	p = program(environ...)
	require.Equal(t, exitFailed, p.run("retry-failed"))
	ok, summary = lastRun(t, store, "retry-failed")
	require.False(t, ok)
	require.Contains(t, summary, `"dead":1`)
	require.Contains(t, summary, errNotOK.Error())
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	dsn, environ := onStores(t)
	require.Equal(t, exitOK, program(environ...).run("migrate"), "the topic is needed")
	store := openStore(t, dsn)

	p := program(environ...)
	require.Equal(t, exitOK, p.run("reconcile", "--json"), p.err.String())
	var report struct {
		Campaigns []struct {
			ID          string `json:"campaign_id"`
			Differences []struct{ Code string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(p.out.String()), &report), "nothing but JSON on standard output")
	require.Empty(t, report.Campaigns)

	id := open10(t, store) // of which Redis knows nothing
	p = program(environ...)
	require.Equal(t, exitFailed, p.run("reconcile", "--json"))
	require.NoError(t, json.Unmarshal([]byte(p.out.String()), &report))
	require.Equal(t, id, report.Campaigns[0].ID)
	require.Equal(t, "document_missing", report.Campaigns[0].Differences[0].Code)

	p = program(environ...)
	require.Equal(t, exitFailed, p.run("reconcile"))
	require.Contains(t, p.out.String(), id+": different: document_missing: Redis holds no document of the campaign")
	ok, _ := lastRun(t, store, "reconcile")
	require.False(t, ok)
}

func TestRebuild(t *testing.T) {
	t.Parallel()
	dsn, environ := onStores(t)
	store := openStore(t, dsn)
	id := open10(t, store)

	p := program(environ...)
	require.Equal(t, exitFailed, p.run("rebuild", id, "no-such-campaign"))
	require.Contains(t, p.err.String(), "no such campaign: no-such-campaign")

	p = program(environ...)
	require.Equal(t, exitFailed, p.run("rebuild", id, "--timeout", "1s"))
	require.Contains(t, p.out.String(), "rebuild: rebuilt 0, failed 1; "+id+": no consumer has begun")
	ok, summary := lastRun(t, store, "rebuild")
	require.False(t, ok)
	require.Contains(t, summary, `"campaign_id":"`+id+`"`)

	c, err := store.Campaign(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, 1, c.FenceWanted, "the wish stands: a warden that comes later heeds it")
	p = program(environ...)
	code := make(chan int, 1)
	go func() { code <- p.run("rebuild", "--all") }()
	eventually(t, func() bool {
		fenceWanted(t, store, id)
		return len(code) == 1
	})
	require.Equal(t, exitOK, <-code, p.err.String())
	require.Contains(t, p.out.String(), "rebuild: rebuilt 1, failed 0, took ")
}

// fenceWanted does what a warden does of a campaign while Redis is away.
func fenceWanted(t *testing.T, store *mysqlstore.Store, id string) {
	t.Helper()
	c, err := store.Campaign(t.Context(), id)
	require.NoError(t, err)
	if c.FenceWanted != c.Epoch {
		return
	}
	_, err = store.BeginFence(t.Context(), []coupon.EpochRef{c.Ref()})
	require.NoError(t, err)
	_, err = store.CloseEpoch(t.Context(), c.Ref(), coupon.ModeSQL)
	require.NoError(t, err)
}

func TestEveryRunsUntilTheSignal(t *testing.T) {
	t.Parallel()
	dsn, environ := onStores(t)
	store := openStore(t, dsn)
	p := program(environ...)
	code := make(chan int, 1)
	go func() { code <- p.run("sweep", "--every", "10ms") }()

	eventually(t, func() bool { return strings.Count(p.out.String(), "sweep: ") >= 3 })
	p.signals <- syscall.SIGTERM

	require.Equal(t, exitOK, <-code, p.err.String())
	var good int // the signal may have cut the last one short
	row := store.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM batch_runs WHERE job = 'sweep' AND ok = 1")
	require.NoError(t, row.Scan(&good))
	require.GreaterOrEqual(t, good, 3)
}

func TestAFailingRunDoesNotEndASchedule(t *testing.T) {
	t.Parallel()
	dsn, environ := onStores(t)
	store := openStore(t, dsn)
	hide := func(from, to string) {
		_, err := store.DB().ExecContext(context.Background(), "RENAME TABLE "+from+" TO "+to)
		require.NoError(t, err)
	}
	hide("failed_events", "hidden")
	p := program(environ...)
	code := make(chan int, 1)
	go func() { code <- p.run("retry-failed", "--every", "10ms") }()

	eventually(t, func() bool { return strings.Count(p.err.String(), "run failed") >= 2 })
	hide("hidden", "failed_events")
	fail(t, store, open10(t, store), 1)
	eventually(t, func() bool { return strings.Contains(p.out.String(), "issued 1") })
	p.signals <- syscall.SIGTERM

	require.Equal(t, exitOK, <-code)
}

func TestASingleRunThatIsEndedIsNotDone(t *testing.T) {
	t.Parallel()
	dsn, environ := onStores(t)
	store := openStore(t, dsn)
	id := open10(t, store)
	fail(t, store, id, 1)
	tx, err := store.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), "SELECT id FROM campaigns WHERE slug = ? FOR UPDATE", id)
	require.NoError(t, err)
	p := program(environ...)
	code := make(chan int, 1)
	go func() { code <- p.run("retry-failed") }()

	eventually(t, func() bool {
		var leased int
		row := store.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM failed_events WHERE status = 'leased'")
		return row.Scan(&leased) == nil && leased == 1
	})
	p.signals <- syscall.SIGTERM

	require.Equal(t, exitFailed, <-code)
	require.Contains(t, p.err.String(), "ended before it was done")
	ok, _ := lastRun(t, store, "retry-failed")
	require.False(t, ok)
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond)
}
