package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
)

// lockWait is how long one question for the lock may take, in seconds: short, so that a run that is told to stop does.
const lockWait = 2

// upgrade applies the migrations the database lacks, and returns their files.
func (j *Job) upgrade(ctx context.Context, config *mysql.Config) ([]string, error) {
	db, err := open(config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // also ends the session of the lock, and the lock with it
	session, err := lock(ctx, db, config.DBName)
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Close() }()
	provider, err := goose.NewProvider(goose.DialectMySQL, db, j.Migrations)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return j.eachFile(ctx, provider)
}

// eachFile stops between two files only: the servers cannot take DDL back. A file that a kill left unrecorded is simply run
// again, as every statement of it is a CREATE TABLE IF NOT EXISTS.
func (j *Job) eachFile(ctx context.Context, provider *goose.Provider) (applied []string, err error) {
	pending, err := count(ctx, provider)
	if err != nil {
		return nil, err
	}
	for ctx.Err() == nil {
		result, err := provider.UpByOne(context.WithoutCancel(ctx))
		if errors.Is(err, goose.ErrNoNextVersion) {
			return applied, nil
		}
		if err != nil {
			return applied, fmt.Errorf("apply the migrations: %w", err)
		}
		applied = append(applied, result.Source.Path)
		j.Progress(len(applied), pending)
	}
	return applied, fmt.Errorf("cut short: %w", ctx.Err())
}

// count returns how many files are still to be applied.
func count(ctx context.Context, provider *goose.Provider) (pending int, err error) {
	all, err := provider.Status(context.WithoutCancel(ctx)) // makes goose's own table where there is none
	for _, file := range all {
		if file.State == goose.StatePending {
			pending++
		}
	}
	return pending, wrap("look for new migrations", err)
}

// lock waits until no other run migrates this database, and returns the session that holds the lock. A run that is killed
// takes it along.
func lock(ctx context.Context, db *sql.DB, database string) (*sql.Conn, error) {
	session, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a session for the lock: %w", err)
	}
	const longest = 64 // of a lock's name; two databases with one lock would only wait for each other
	name := "migrate." + database
	name = name[:min(len(name), longest)]
	for held := false; !held; {
		err := session.QueryRowContext(ctx, "SELECT COALESCE(GET_LOCK(?, ?), 0)", name, lockWait).Scan(&held)
		if err != nil {
			_ = session.Close()
			return nil, fmt.Errorf("wait for another migration to end: %w", err)
		}
	}
	return session, nil
}
