package mysqlstore

import (
	"context"
	"log/slog"
	"time"

	"gorm.io/gorm/logger"
)

// slowStatement is from when on a statement is worth a log line.
const slowStatement = time.Second

// loggedLength bounds what is shown of a statement: a batch of rows is a long one.
const loggedLength = 200

// slowLog is gorm's logger: it reports slow statements without their values, and leaves errors to the caller.
type slowLog struct{ logger *slog.Logger }

// LogMode keeps the only mode there is.
func (l slowLog) LogMode(logger.LogLevel) logger.Interface { return l }

// Info drops gorm's own words.
func (slowLog) Info(context.Context, string, ...any) {}

// Warn drops gorm's own words.
func (slowLog) Warn(context.Context, string, ...any) {}

// Error drops gorm's own words.
func (slowLog) Error(context.Context, string, ...any) {}

// ParamsFilter keeps values, which may be personal, out of the log.
func (slowLog) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) { return sql, nil }

// Trace reports a statement that took too long.
func (l slowLog) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), _ error) {
	took := time.Since(begin)
	if took < slowStatement {
		return
	}
	text, rows := statement()
	l.logger.WarnContext(ctx, "slow statement", "sql", text[:min(len(text), loggedLength)], "rows", rows, "took", took)
}
