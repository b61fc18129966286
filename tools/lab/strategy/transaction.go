package strategy

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	tries        = 10                    // of a transaction that the database would not let through
	longestPause = 10 * time.Millisecond // between two tries

	errDuplicate   = 1062
	errLockTimeOut = 1205
	errDeadlock    = 1213
)

// errRollback lets a transaction end without an effect and without an error.
var errRollback = errors.New("roll back")

// queryer is a database or a transaction.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// transact runs work in a transaction, again after a deadlock or the time-out of a lock. It commits only what returns
// without an error.
func (w *World) transact(ctx context.Context, level sql.IsolationLevel, work func(tx *sql.Tx) (Outcome, error)) (Outcome, error) {
	for range tries {
		outcome, err := once(ctx, w.DB, level, work)
		switch number(err) {
		case errDeadlock:
			w.Deadlocks.Add(1)
		case errLockTimeOut:
			w.TimeOuts.Add(1)
		default:
			if errors.Is(err, errRollback) {
				err = nil
			}
			return outcome, err
		}
		w.again(longestPause)
	}
	return "", ErrBusy
}

// again counts a retry and waits for a moment, another one for each, so that those who have met do not meet again.
func (w *World) again(longest time.Duration) {
	w.Retries.Add(1)
	<-time.After(rand.N(longest))
}

func once(ctx context.Context, db *sql.DB, level sql.IsolationLevel, work func(tx *sql.Tx) (Outcome, error)) (Outcome, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return "", err
	}
	outcome, err := work(tx)
	if err != nil {
		_ = tx.Rollback() // the reason is err
		return outcome, err
	}
	return outcome, tx.Commit()
}

// number is MySQL's of an error, or 0.
func number(err error) uint16 {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return refused.Number
	}
	return 0
}

// changed executes a statement and reports whether it changed a row.
func changed(ctx context.Context, db queryer, statement string, args ...any) (bool, error) {
	result, err := db.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows > 0, err
}

func holds(ctx context.Context, db queryer, user string) (held bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM grants WHERE user = ?)`, user).Scan(&held)
	return held, err
}

func insertGrant(ctx context.Context, db queryer, user string) error {
	_, err := db.ExecContext(ctx, `INSERT INTO grants (user) VALUES (?)`, user)
	return err
}
