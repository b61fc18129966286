package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// The server's error numbers that mean something to a migration.
const (
	noSuchDatabase = 1049
	accessDenied   = 1044
)

// lockPatience is how long one statement waits for a table that others use, in seconds, unless the DSN says otherwise. Left
// to themselves the servers wait for a day or a year, and a run cannot leave a statement that waits.
const lockPatience = "60"

// configure reads a DSN for schema work: a statement may take as long as the run.
func configure(dsn string) (*mysql.Config, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("MYSQL_DSN: %w", err)
	}
	config.ParseTime = true
	config.ReadTimeout, config.WriteTimeout = 0, 0
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	if _, named := config.Params["lock_wait_timeout"]; !named {
		config.Params["lock_wait_timeout"] = lockPatience
	}
	return config, nil
}

func open(config *mysql.Config) (*sql.DB, error) {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("MYSQL_DSN: %w", err)
	}
	return sql.OpenDB(connector), nil
}

// ensureDatabase creates the DSN's database when the server does not have it. Two at once both succeed.
func ensureDatabase(ctx context.Context, config *mysql.Config) (created bool, err error) {
	db, err := open(config)
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close() }()
	err = db.PingContext(ctx)
	if !isServerError(err, noSuchDatabase) {
		return false, wrap("connect to MySQL", err)
	}
	return true, createDatabase(ctx, config)
}

func createDatabase(ctx context.Context, config *mysql.Config) error {
	server := config.Clone()
	server.DBName = ""
	db, err := open(server)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	statement := "CREATE DATABASE IF NOT EXISTS " + quote(config.DBName) + " CHARACTER SET utf8mb4"
	_, err = db.ExecContext(ctx, statement)
	if isServerError(err, accessDenied) {
		return fmt.Errorf("database %s does not exist and %s may not create it; let an administrator run: %s",
			config.DBName, config.User, statement)
	}
	return wrap("create database "+config.DBName, err)
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func isServerError(err error, number uint16) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && answer.Number == number
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
