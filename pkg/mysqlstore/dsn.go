package mysqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// requirement is a DSN parameter that correctness rests on, and the only value it may be given.
type requirement struct{ name, value, why string }

var requirements = []requirement{
	{"parseTime", "true", "times are read as times"},
	{"loc", "UTC", "times are stored in UTC"},
	{"interpolateParams", "true", "a statement must be one round trip and leave nothing prepared on the server"},
	{"rejectReadOnly", "true", "a demoted primary must be left"},
	{"clientFoundRows", "false", "changed rows are counted, not found ones"},
	{"multiStatements", "false", "one statement a call"},
	{"allowAllFiles", "false", "no statement may read the client's files"},
}

// forbidden parameters would undo what each connection sets when it opens.
var forbidden = []string{"transaction_isolation", "tx_isolation", "autocommit"}

// readCommitted is the one spelling of the isolation level that MySQL and MariaDB share; as a DSN parameter it has none.
const readCommitted = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

// strictMode makes a value that does not fit an error. Without it a database cuts the value to fit.
const strictMode = "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION'"

// patience is how many seconds the server waits.
var patience = map[string]string{
	"innodb_lock_wait_timeout": "5", // below readTimeout: the server's answer comes before our own giving up
	// For the next statement. A host that is gone or stopped leaves its connections open, and with them the locks of a
	// transaction: for the 8 hours of the default a campaign could not even be fenced.
	"wait_timeout": "20",
}

// maxIdle is after how long a connection that nobody uses is closed: before the server does it.
const maxIdle = 15 * time.Second

// CheckDSN says what is wrong with a DSN, without connecting.
func CheckDSN(dsn string) error {
	_, err := configure(dsn)
	return err
}

// configure parses dsn and adds what is missing. Time-outs that the DSN names are kept, the server's own too.
func configure(dsn string) (*mysql.Config, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("parse DSN: %w", err)
	}
	given, err := parameters(dsn)
	if err != nil {
		return nil, err
	}
	if err := contradictions(config, given); err != nil {
		return nil, err
	}
	config.ParseTime, config.Loc, config.InterpolateParams, config.RejectReadOnly = true, time.UTC, true, true
	config.Logger = &mysql.NopLogger{} // what it would print is in the error too
	setDefault(&config.Timeout, 2*time.Second)
	setDefault(&config.ReadTimeout, 10*time.Second)
	setDefault(&config.WriteTimeout, 10*time.Second)
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	for name, value := range patience {
		if _, ok := config.Params[name]; !ok {
			config.Params[name] = value
		}
	}
	config.Params["sql_mode"] = strictMode
	// The database rounds what does not fit DATETIME(6); cutting instead never puts a time into the future.
	if err := config.Apply(mysql.TimeTruncate(time.Microsecond), mysql.Charset("utf8mb4", "")); err != nil {
		return nil, fmt.Errorf("configure DSN: %w", err)
	}
	return config, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// parameters returns the query part of the DSN, where an explicit false can be told from an absent one.
func parameters(dsn string) (url.Values, error) {
	_, query, _ := strings.Cut(dsn[strings.LastIndexByte(dsn, '/')+1:], "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("parse DSN parameters: %w", err)
	}
	return values, nil
}

func contradictions(config *mysql.Config, given url.Values) error {
	var errs []error
	if config.DBName == "" {
		errs = append(errs, errors.New("DSN names no database"))
	}
	for _, r := range requirements {
		if given.Has(r.name) && !sameSetting(given.Get(r.name), r.value) {
			errs = append(errs, fmt.Errorf("DSN parameter %s must be %s: %s", r.name, r.value, r.why))
		}
	}
	for name := range given {
		if slices.Contains(forbidden, strings.ToLower(name)) {
			errs = append(errs, fmt.Errorf("DSN parameter %s is set by the program", name))
		}
	}
	if given.Has("charset") && given.Get("charset") != "utf8mb4" {
		errs = append(errs, errors.New("DSN parameter charset must be utf8mb4"))
	}
	if given.Has("sql_mode") {
		errs = append(errs, errors.New("DSN parameter sql_mode is set by the program"))
	}
	return errors.Join(errs...)
}

func sameSetting(given, want string) bool {
	switch given {
	case "1", "TRUE", "True":
		given = "true"
	case "0", "FALSE", "False":
		given = "false"
	}
	return given == want
}

// connector opens connections at READ COMMITTED: at REPEATABLE READ the claiming UPDATE … LIMIT deadlocks.
type connector struct{ driver.Connector }

func newConnector(config *mysql.Config) (driver.Connector, error) {
	inner, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("configure connections: %w", err)
	}
	return connector{inner}, nil
}

// Connect opens a connection; one that cannot be set up is closed and not handed out.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, readCommitted, nil); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("set isolation level: %w", err)
	}
	return conn, nil
}
