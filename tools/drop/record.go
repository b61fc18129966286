package drop

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Open returns the database that a Judge reads. It is opened apart from the code under test, so that a mistake there
// cannot hide itself.
func Open(dsn string) (*sql.DB, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("parse DSN: %w", err)
	}
	config.ParseTime, config.Loc = true, time.UTC
	config.Logger = &mysql.NopLogger{} // a connection that an outage ended is no news to who reads on
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("parse DSN: %w", err)
	}
	return sql.OpenDB(connector), nil
}

// record is all that the database holds of a campaign.
type record struct {
	id           int64
	limit        int64
	counted      int64 // campaigns.issued: places taken, as the database counts them itself
	perUserLimit int64
	epoch        int64
	returned     int64 // places that went back to stock
	failed       int64 // live failed events
	rows         []row // by serial
}

type row struct {
	key
	serial int64
}

// readRecord reads one consistent snapshot.
func readRecord(ctx context.Context, db *sql.DB, campaign string) (record, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return record{}, err
	}
	defer func() { _ = tx.Rollback() }() // it has read only
	var r record
	err = tx.QueryRowContext(ctx, `SELECT id, limit_count, issued, per_user_limit, epoch FROM campaigns WHERE slug = ?`, campaign).
		Scan(&r.id, &r.limit, &r.counted, &r.perUserLimit, &r.epoch)
	if err != nil {
		return record{}, err
	}
	err = tx.QueryRowContext(ctx, `SELECT
		(SELECT COALESCE(SUM(delta), 0) FROM stock_ledger WHERE campaign_id = ? AND kind = 'return'),
		(SELECT COUNT(*) FROM failed_events f WHERE f.campaign_id = ? AND f.status IN ('pending', 'leased', 'parked')
			AND NOT EXISTS (SELECT 1 FROM coupons c WHERE c.campaign_id = f.campaign_id AND c.user_id = f.user_id AND c.n = f.n))`,
		r.id, r.id).Scan(&r.returned, &r.failed)
	if err != nil {
		return record{}, err
	}
	r.rows, err = readRows(ctx, tx, r.id)
	return r, err
}

func readRows(ctx context.Context, tx *sql.Tx, campaign int64) ([]row, error) {
	found, err := tx.QueryContext(ctx, `SELECT serial, user_id, n FROM coupons WHERE campaign_id = ? ORDER BY serial`, campaign)
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	var rows []row
	for found.Next() {
		var r row
		if err := found.Scan(&r.serial, &r.user, &r.n); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, found.Err()
}
