package serve

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/tools/lab/strategy"
)

const (
	connections = 32 // of a server to the database

	// lockWait is in seconds. What follows is a comment to all but MariaDB since 11.6.2, which would turn a lost update at
	// Repeatable Read into an error.
	lockWait = "2 /*M!110602 , innodb_snapshot_isolation = OFF */"
)

// Open returns a database as the strategies use it. Its isolation is the server's default, as it is for most programs.
func Open(dsn string) (*sql.DB, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("parse DSN: %w", err)
	}
	config.InterpolateParams = true
	config.Params = map[string]string{"innodb_lock_wait_timeout": lockWait}
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("parse DSN: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Dial returns a client with a connection for each of a crowd that waits.
func Dial(url string) (*redis.Client, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("parse the URL of Redis: %w", err)
	}
	options.PoolSize = 512
	return redis.NewClient(options), nil
}

// Run serves a strategy, and lets it work, until ctx ends.
func Run(ctx context.Context, address string, s strategy.Strategy, w *strategy.World) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: Handler(s, w), ReadHeaderTimeout: longestRequest}
	failed := make(chan error, 2)
	if worker, ok := s.(strategy.Worker); ok {
		go func() {
			if err := worker.Work(ctx); ctx.Err() == nil && err != nil {
				failed <- fmt.Errorf("work: %w", err)
			}
		}()
	}
	go func() { failed <- server.Serve(listener) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	_ = server.Close() // the trial is over: nobody waits for an answer
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// CrashAt returns a function that kills this process at its n-th call, as kill -9 does, unless the key says that another
// was killed already.
func CrashAt(n int64, client *redis.Client, key string) func() {
	var calls atomic.Int64
	return func() {
		if calls.Add(1) != n {
			return
		}
		if first, err := client.SetNX(context.Background(), key, 1, time.Hour).Result(); err == nil && first {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}
