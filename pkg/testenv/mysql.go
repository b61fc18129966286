package testenv

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
)

// MySQL returns the DSN of a fresh database with the whole schema, dropped when the test ends.
func MySQL(tb testing.TB) string {
	tb.Helper()
	dsn := EmptyDatabase(tb)
	if _, err := Migrations(tb, dsn).Up(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return dsn
}

// Migrations returns the migrations of the repository over a database.
func Migrations(tb testing.TB, dsn string) *goose.Provider {
	tb.Helper()
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	config.ParseTime = true
	db := open(tb, config)
	tb.Cleanup(func() { _ = db.Close() })
	_, file, _, _ := runtime.Caller(0)
	files := os.DirFS(filepath.Join(filepath.Dir(file), "..", "..", "migrations"))
	provider, err := goose.NewProvider(goose.DialectMySQL, db, files)
	if err != nil {
		tb.Fatal(err)
	}
	return provider
}

// EmptyDatabase returns the DSN of a fresh database without tables, dropped when the test ends.
func EmptyDatabase(tb testing.TB) string {
	tb.Helper()
	config, err := mysql.ParseDSN(require(tb, "MYSQL_DSN"))
	if err != nil {
		tb.Fatalf("MYSQL_DSN: %v", err)
	}
	config.DBName = ""
	server := open(tb, config)
	name := "test_" + token()
	if _, err := server.Exec("CREATE DATABASE " + name + " CHARACTER SET utf8mb4"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if _, err := server.Exec("DROP DATABASE " + name); err != nil {
			tb.Errorf("drop test database: %v", err)
		}
		_ = server.Close()
	})
	config.DBName = name
	return config.FormatDSN()
}

func open(tb testing.TB, config *mysql.Config) *sql.DB {
	tb.Helper()
	connector, err := mysql.NewConnector(config)
	if err != nil {
		tb.Fatal(err)
	}
	return sql.OpenDB(connector)
}
