package main

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

// describe says which stores these are: in the words of scripts/services.sh, or else by their addresses, without the
// passwords, and what the database says of itself.
func describe(ctx context.Context, stores procs.Stores, words string) string {
	if words == "" {
		words = "redis " + hosts(stores.Redis) + ", kafka " + stores.Kafka + ", " + database(ctx, stores.MySQL)
	}
	if strings.Contains(words, "embedded") {
		words += "\n            WARNING: a stand-in proves nothing about durability or speed"
	}
	return words
}

func hosts(redis string) string {
	var found []string
	for part := range strings.SplitSeq(redis, ",") {
		if u, err := url.Parse(part); err == nil && u.Host != "" {
			found = append(found, u.Host)
		}
	}
	return strings.Join(found, ",")
}

func database(ctx context.Context, dsn string) string {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "MYSQL_DSN is not readable" // the programs will say why
	}
	const bound = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	address := config.Addr
	config.DBName = ""
	db, err := drop.Open(config.FormatDSN())
	if err != nil {
		return "database " + address
	}
	defer func() { _ = db.Close() }()
	var version string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return "database " + address + " (does not answer)"
	}
	return "database " + version + " " + address
}
