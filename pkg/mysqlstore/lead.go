package mysqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The numbers by which NOWAIT says that another has the lock. MariaDB's is that of a lock time-out.
const (
	errNoWaitMySQL   = 3572
	errNoWaitMariaDB = 1205
)

// heldPatience is how long Held waits for an answer.
const heldPatience = 2 * time.Second

// leadRow is read to take the lead, and read again to see that it is held.
const leadRow = "SELECT id FROM wardens WHERE id = 1 FOR UPDATE NOWAIT"

// boundSilence makes the server end the connection of a leader that says nothing for 15 s. A leader that dies closes its
// connection; one whose machine or network is gone does not, and would lead for the 8 hours of the default.
const boundSilence = "SET SESSION wait_timeout = 15"

// Lead is the warden's row lock. It keeps two wardens from doing the same work, no more: every step they take is safe
// when two take it.
type Lead struct {
	conn *sql.Conn
	tx   *sql.Tx
}

// Lead makes the caller the one warden of this database until it calls Release, its connection ends, or it does not call
// Held for 15 s. CodeUnavailable when another is, or when the database did not answer. It takes one connection out of the
// pool for as long as it leads: the pool must have others.
func (s *Store) Lead(ctx context.Context) (*Lead, error) {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return nil, storeError("lead", err)
	}
	tx, err := lead(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &Lead{conn: conn, tx: tx}, nil
}

func lead(ctx context.Context, conn *sql.Conn) (*sql.Tx, error) {
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil) // it would be rolled back when its context ends
	if err != nil {
		return nil, storeError("lead", err)
	}
	if err := takeLead(ctx, tx); err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	return tx, nil
}

func takeLead(ctx context.Context, tx *sql.Tx) error {
	if err := lockLead(ctx, tx); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, boundSilence)
	return storeError("lead", err)
}

func lockLead(ctx context.Context, tx *sql.Tx) error {
	var id int
	err := tx.QueryRowContext(ctx, leadRow).Scan(&id)
	if number := serverError(err); number == errNoWaitMySQL || number == errNoWaitMariaDB {
		return coupon.Unavailable("another warden leads", err)
	}
	return storeError("lead", err)
}

// Held returns nil when the lead is still the caller's, within 2 s. After any error it is not to be relied on: Release.
func (l *Lead) Held(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heldPatience)
	defer cancel()
	return lockLead(ctx, l.tx)
}

// Release ends the lead. Its connection is closed, not given back: the bound on its silence is not for others.
func (l *Lead) Release() {
	_ = l.tx.Rollback()
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = l.conn.Close()
}
