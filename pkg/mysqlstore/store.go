// Package mysqlstore is the record: campaigns and their epochs, issue(), coupons and failed events in MySQL or MariaDB.
//
// Every method is one statement or one short transaction and honours its context's deadline. An error whose code is
// coupon.CodeUnavailable says that the database did not answer as it should: what was asked may or may not have happened,
// and asking again is safe.
package mysqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

// defaultConns is the pool's size when Options names none.
const defaultConns = 16

// Options are what a Store needs besides its address. The zero value works.
type Options struct {
	MaxConns int              // size of the pool, kept open; 16 when 0
	Logger   *slog.Logger     // slow statements, without their values; silent when nil
	Now      func() time.Time // time.Now when nil
	Random   io.Reader        // of coupon codes, safe for concurrent use; crypto/rand when nil
}

// Store is a pool of connections to one database.
type Store struct {
	db     *gorm.DB
	pool   *sql.DB
	now    func() time.Time
	random io.Reader
}

// Open returns a Store of the database that dsn names. It adds the parameters the store rests on, refuses a DSN that
// contradicts them (all contradictions in one error), and does not dial: use Ping.
func Open(dsn string, opts Options) (*Store, error) {
	config, err := configure(dsn)
	if err != nil {
		return nil, err
	}
	connector, err := newConnector(config)
	if err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(opts.MaxConns)
	pool.SetMaxIdleConns(opts.MaxConns)
	pool.SetConnMaxLifetime(3 * time.Minute)
	pool.SetConnMaxIdleTime(maxIdle)

	dialector := mysql.New(mysql.Config{Conn: pool, SkipInitializeWithVersion: true, DisableWithReturning: true})
	db, err := gorm.Open(dialector, &gorm.Config{
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
		Logger:                 slowLog{opts.Logger},
		NowFunc:                opts.Now,
	})
	if err != nil {
		_ = pool.Close()
		return nil, fmt.Errorf("open gorm: %w", err)
	}
	return &Store{db: db, pool: pool, now: opts.Now, random: opts.Random}, nil
}

func (o Options) withDefaults() Options {
	if o.MaxConns == 0 {
		o.MaxConns = defaultConns
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return o
}

// DB returns the pool, for its statistics and for migrations.
func (s *Store) DB() *sql.DB { return s.pool }

// Close closes the pool.
func (s *Store) Close() error { return s.pool.Close() }

// Ping reports whether the database answers a statement.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	err := s.pool.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	return storeError("ping", err)
}

// transaction runs f in one transaction and commits it unless f returns an error. When COMMIT itself fails its result is
// unknown: every caller must be safe to run again.
func (s *Store) transaction(ctx context.Context, doing string, f func(tx *gorm.DB) error) error {
	return storeError(doing, s.db.WithContext(ctx).Transaction(f))
}

// read runs one autocommit query into dest and returns how many rows it gave.
func (s *Store) read(ctx context.Context, doing string, dest any, query string, args ...any) (int64, error) {
	result := s.db.WithContext(ctx).Raw(query, args...).Scan(dest)
	return result.RowsAffected, storeError(doing, result.Error)
}

// exec runs one autocommit statement and returns how many rows it changed.
func (s *Store) exec(ctx context.Context, doing, statement string, args ...any) (int64, error) {
	result := s.db.WithContext(ctx).Exec(statement, args...)
	return result.RowsAffected, storeError(doing, result.Error)
}
