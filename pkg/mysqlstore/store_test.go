package mysqlstore

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestOpenRefusesContradictions(t *testing.T) {
	t.Parallel()
	const base = "root@tcp(127.0.0.1:3306)/coupon?"
	for query, word := range map[string]string{
		"parseTime=false":                          "parseTime",
		"parseTime=0":                              "parseTime",
		"loc=Local":                                "loc",
		"loc=Asia%2FSeoul":                         "loc",
		"interpolateParams=false":                  "interpolateParams",
		"rejectReadOnly=false":                     "rejectReadOnly",
		"clientFoundRows=true":                     "clientFoundRows",
		"multiStatements=1":                        "multiStatements",
		"allowAllFiles=true":                       "allowAllFiles",
		"charset=latin1":                           "charset",
		"sql_mode=%27%27":                          "sql_mode",
		"transaction_isolation=%27SERIALIZABLE%27": "transaction_isolation",
		"tx_isolation=%27READ-COMMITTED%27":        "tx_isolation",
		"autocommit=0":                             "autocommit",
	} {
		_, err := Open(base+query, Options{})
		require.ErrorContains(t, err, word, query)
	}
	_, err := Open("root@tcp(127.0.0.1:3306)/?parseTime=false&clientFoundRows=true", Options{})
	require.ErrorContains(t, err, "database")
	require.ErrorContains(t, err, "parseTime")
	require.ErrorContains(t, err, "clientFoundRows", "all of them at once")
	_, err = Open("no DSN", Options{})
	require.Error(t, err)
}

func TestOpenKeepsWhatFits(t *testing.T) {
	t.Parallel()
	config, err := configure("root:p/w?@tcp(h:1)/coupon?parseTime=true&loc=UTC&readTimeout=3s&innodb_lock_wait_timeout=1&wait_timeout=60&charset=utf8mb4")
	require.NoError(t, err)
	require.Equal(t, "p/w?", config.Passwd)
	require.Equal(t, 3*time.Second, config.ReadTimeout)
	require.Equal(t, 10*time.Second, config.WriteTimeout)
	require.Equal(t, "1", config.Params["innodb_lock_wait_timeout"])
	require.Equal(t, "60", config.Params["wait_timeout"])
	require.True(t, config.RejectReadOnly)
	require.True(t, config.InterpolateParams)
	require.False(t, config.ClientFoundRows)
}

func TestConnections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Ping(t.Context()))
	isolation := "@@transaction_isolation"
	if bytes.Contains([]byte(scan[string](b, "SELECT VERSION()")), []byte("MariaDB")) {
		isolation = "@@tx_isolation"
	}
	require.Equal(t, "READ-COMMITTED", scan[string](b, "SELECT "+isolation))
	require.Contains(t, scan[string](b, "SELECT @@sql_mode"), "STRICT_ALL_TABLES")
	require.Equal(t, "5", scan[string](b, "SELECT @@innodb_lock_wait_timeout"))
	require.Equal(t, "20", scan[string](b, "SELECT @@SESSION.wait_timeout"))
	require.Less(t, maxIdle, 20*time.Second, "an idle connection is closed by us, not by the server")
	weak, err := b.Weaknesses(t.Context())
	require.NoError(t, err)
	want := scan[int](b, "SELECT IF(@@GLOBAL.innodb_flush_log_at_trx_commit = 1, 0, 1) + IF(@@GLOBAL.log_bin AND @@GLOBAL.sync_binlog <> 1, 1, 0)")
	require.Len(t, weak, want)
	require.Equal(t, defaultConns, b.DB().Stats().MaxOpenConnections)
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	s, err := Open("root@tcp(127.0.0.1:1)/coupon", Options{})
	require.NoError(t, err, "opening does not dial")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(s.Ping(t.Context())))
	_, err = s.Issue(t.Context(), "x", []coupon.Delivery{delivery(claimOf("x", "u", 1, 1, 1))})
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.NoError(t, s.Close())
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	server := func(number uint16) error { return &mysql.MySQLError{Number: number, Message: "words"} }
	for _, c := range []struct {
		err                        error
		transient, data, duplicate bool
	}{
		{err: server(1062), duplicate: true},
		{err: server(1406), data: true},
		{err: server(1366), data: true},
		{err: server(1264), data: true},
		{err: server(1048), data: true},
		{err: server(1292), data: true},
		{err: server(3819), data: true},
		{err: server(4025), data: true},
		{err: server(1205), transient: true},
		{err: server(1213), transient: true},
		{err: server(1290), transient: true},
		{err: server(1021), transient: true},
		{err: server(1114), transient: true},
		{err: server(1317), transient: true},
		{err: server(1040), transient: true},
		{err: server(1146)},
		{err: server(1064)},
		{err: driver.ErrBadConn, transient: true},
		{err: mysql.ErrInvalidConn, transient: true},
		{err: io.ErrUnexpectedEOF, transient: true},
		{err: context.DeadlineExceeded, transient: true},
		{err: os.ErrDeadlineExceeded, transient: true},
		{err: &net.OpError{Op: "dial", Err: errors.New("refused")}, transient: true},
		{err: errors.New("a bug")},
	} {
		wrapped := fmt.Errorf("issue: %w", c.err)
		require.Equal(t, c.transient, isTransient(wrapped), c.err)
		require.Equal(t, c.data, isBadData(wrapped), c.err)
		require.Equal(t, c.duplicate, isDuplicateKey(wrapped), c.err)
		stored := storeError("issue", c.err)
		require.ErrorIs(t, stored, c.err)
		require.Equal(t, c.transient, coupon.CodeOf(stored) == coupon.CodeUnavailable, c.err)
	}
	require.NoError(t, storeError("x", nil))
	domain := coupon.NewError(coupon.CodeCampaignExists, "x")
	require.Equal(t, domain, storeError("x", domain))
}

func TestSlowLogShowsNoValues(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slowLog{slog.New(slog.NewTextHandler(&out, nil))}
	statement := func() (string, int64) { return "INSERT INTO coupons VALUES (?)", 1 }
	log.Trace(t.Context(), time.Now(), statement, errors.New("not its business"))
	require.Empty(t, out.String())
	log.Trace(t.Context(), time.Now().Add(-2*time.Second), statement, nil)
	require.Contains(t, out.String(), "INSERT INTO coupons")
	_, values := log.ParamsFilter(t.Context(), "?", "secret")
	require.Empty(t, values)
}
