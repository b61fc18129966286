package mysqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func batchOf(id string, size int) []coupon.Delivery {
	batch := make([]coupon.Delivery, size)
	for i := range batch {
		batch[i] = delivery(claimOf(id, "u"+strconv.Itoa(i), 1, 1, int64(i+1)))
	}
	return batch
}

// heldRow locks a campaign's row from another connection until the returned function is called.
func (b *bundle) heldRow(id string) (holder *sql.Tx, release func()) {
	b.tb.Helper()
	tx, err := b.open(b.dsn).DB().Begin()
	require.NoError(b.tb, err)
	_, err = tx.Exec("SELECT id FROM campaigns WHERE slug = ? FOR UPDATE", id)
	require.NoError(b.tb, err)
	b.tb.Cleanup(func() { _ = tx.Rollback() })
	return tx, func() { require.NoError(b.tb, tx.Rollback()) }
}

// waiting returns the connection that waits for a campaign's row, 0 when none does.
func (b *bundle) waiting() (connection int64) {
	b.tb.Helper()
	_ = b.DB().QueryRow(`SELECT id FROM information_schema.processlist WHERE db = DATABASE()
		AND info LIKE '%FROM campaigns c%FOR UPDATE' AND id <> CONNECTION_ID()`).Scan(&connection)
	return connection
}

// A connection killed inside the transaction: an error, nothing written, and the same batch again is exact.
func TestIssueConnectionKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("killed", 100)
	_, release := b.heldRow("killed")
	issuer := b.open(b.dsn)
	failed := make(chan error, 1)
	batch := batchOf("killed", 100)
	go func() {
		_, err := issuer.Issue(context.Background(), "killed", batch)
		failed <- err
	}()
	await(t, func() bool { return b.waiting() != 0 })
	b.mustExec(fmt.Sprintf("KILL CONNECTION %d", b.waiting()))
	err := <-failed
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "%v", err)
	release()

	require.Zero(t, b.totals("killed").Rows)
	results, err := issuer.Issue(t.Context(), "killed", batch)
	require.NoError(t, err)
	require.NotContains(t, outcomes(results), coupon.OutcomeDuplicate)
	require.EqualValues(t, 100, b.totals("killed").Issued)
}

// A lock time-out is not about a row: one wait, one error, no halving.
func TestIssueLockTimeout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("stuck", 500)
	_, release := b.heldRow("stuck")
	impatient := b.open(b.with("innodb_lock_wait_timeout", "1"))
	began := time.Now()
	_, err := impatient.Issue(t.Context(), "stuck", batchOf("stuck", 500))
	took := time.Since(began)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "%v", err)
	require.EqualValues(t, 1205, serverError(err))
	require.Less(t, took, 3*time.Second, "one time-out of 1 s (MySQL may notice a second late), not 999 of them")

	began = time.Now()
	events := []coupon.FailedEvent{{Claim: claimOf("stuck", "u0", 1, 1, 1), Reason: coupon.ReasonTransientExhausted}}
	require.NoError(t, impatient.Park(t.Context(), events), "keeping failed events does not need the row")
	require.Less(t, time.Since(began), time.Second)
	release()
	b.issued("stuck", batchOf("stuck", 500)...)
	require.EqualValues(t, 500, b.totals("stuck").Issued)
}

// The same where it is the INSERT that waits: somebody's uncommitted row is in its way.
func TestIssueLockTimeoutOfInsert(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("stuck", 500)
	intruder, err := b.open(b.dsn).DB().Begin()
	require.NoError(t, err)
	t.Cleanup(func() { _ = intruder.Rollback() })
	_, err = intruder.Exec(`INSERT INTO coupons (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at)
		SELECT id, 250, 'intruder', 1, 1, '', ?, ? FROM campaigns`, noon, noon)
	require.NoError(t, err)
	impatient := b.open(b.with("innodb_lock_wait_timeout", "1"))
	began := time.Now()
	_, err = impatient.Issue(t.Context(), "stuck", batchOf("stuck", 500))
	require.EqualValues(t, 1205, serverError(err), "%v", err)
	require.Less(t, time.Since(began), 3*time.Second, "one time-out, not one for each half")
	require.NoError(t, intruder.Rollback())
	b.issued("stuck", batchOf("stuck", 500)...)
	require.EqualValues(t, 500, b.totals("stuck").Issued)
}

// The caller's deadline ends a wait, and the store is usable afterwards.
func TestIssueDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("late", 10)
	_, release := b.heldRow("late")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := b.Issue(ctx, "late", batchOf("late", 10))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "%v", err)
	release()
	b.issued("late", batchOf("late", 10)...)
	require.EqualValues(t, 10, b.totals("late").Issued)
}

// A database that refuses writes is an error of the whole batch, never of a row.
func TestIssueReadOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("readonly", 10)
	demoted := b.open(b.dsn)
	demoted.DB().SetMaxOpenConns(1)
	_, err := demoted.DB().Exec("SET SESSION TRANSACTION READ ONLY")
	require.NoError(t, err)
	_, err = demoted.Issue(t.Context(), "readonly", batchOf("readonly", 10))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "%v", err)
	require.Zero(t, b.totals("readonly").Rows)
	require.Empty(t, b.totals("readonly").Failed)
	_, err = demoted.Issue(t.Context(), "readonly", batchOf("readonly", 10))
	require.NoError(t, err, "the read-only connection was given up")
}

// A COMMIT whose answer is lost: an error, though the rows are there; the same batch again is all duplicates.
func TestIssueCommitAnswerLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("unknown", 50)
	lossy, lose := b.lossy()
	lose.Store(true)
	_, err := lossy.Issue(t.Context(), "unknown", batchOf("unknown", 50))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "%v", err)
	require.EqualValues(t, 50, b.totals("unknown").Rows)
	lose.Store(false)
	results, err := lossy.Issue(t.Context(), "unknown", batchOf("unknown", 50))
	require.NoError(t, err)
	for _, outcome := range outcomes(results) {
		require.Equal(t, coupon.OutcomeDuplicate, outcome)
	}
	require.EqualValues(t, 50, b.totals("unknown").Issued)
}

// lossy returns a store whose connections lose the answer to a COMMIT while lose is set.
func (b *bundle) lossy() (s *Store, lose *atomic.Bool) {
	b.tb.Helper()
	lose = new(atomic.Bool)
	network := "lossy" + strings.TrimPrefix(scan[string](b, "SELECT DATABASE()"), "test_")
	mysql.RegisterDialContext(network, func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return &lossyConn{Conn: conn, lose: lose}, err
	})
	b.tb.Cleanup(func() { mysql.DeregisterDialContext(network) })
	return b.open(strings.Replace(b.dsn, "tcp(", network+"(", 1)), lose
}

// lossyConn reads the answer to a COMMIT and keeps it.
type lossyConn struct {
	net.Conn
	lose      *atomic.Bool
	committed atomic.Bool
}

func (c *lossyConn) Write(p []byte) (int, error) {
	if c.lose.Load() && strings.HasSuffix(string(p), "COMMIT") {
		c.committed.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *lossyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.committed.Load() && n > 0 {
		return 0, io.EOF
	}
	return n, err
}

// A retry that waits for the row while a fence closes its epoch: what the fence wrote under that lock is seen.
func TestIssueRetryOvertakenByFence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("overtaken", 10)
	claim := claimOf("overtaken", "u", 1, 1, 4)
	require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{{Claim: claim}}))
	retry := delivery(claim)
	retry.FailedID = scan[int64](b, "SELECT id FROM failed_events")

	fence, _ := b.heldRow("overtaken")
	results := make(chan []coupon.Result, 1)
	go func() {
		r, _ := b.Issue(context.Background(), "overtaken", []coupon.Delivery{retry, delivery(claimOf("overtaken", "v", 1, 1, 5))})
		results <- r
	}()
	await(t, func() bool { return b.waiting() != 0 })
	for _, statement := range []string{
		"UPDATE failed_events SET carried = 1",
		"UPDATE campaigns SET epoch = 2, epoch_state = 'loading'",
		"UPDATE campaign_epochs SET state = 'closed'",
	} {
		_, err := fence.Exec(statement)
		require.NoError(t, err)
	}
	require.NoError(t, fence.Commit())
	require.Equal(t, []coupon.Outcome{coupon.OutcomeIssued, coupon.OutcomeStale}, outcomes(<-results))
}

// A host that loses its power, or is stopped, in the middle of a transaction leaves its connection open, and the lock of the
// campaign's row with it: for as long as the server waits for its next statement.
func TestASilentHolderLosesTheRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("silent", 10)
	gone, err := b.open(b.with("wait_timeout", "1")).DB().Begin()
	require.NoError(t, err)
	t.Cleanup(func() { _ = gone.Rollback() })
	_, err = gone.Exec("SELECT id FROM campaigns WHERE slug = 'silent' FOR UPDATE")
	require.NoError(t, err)

	b.issued("silent", delivery(claimOf("silent", "a", 1, 1, 1)))

	require.Error(t, gone.Commit())
}
