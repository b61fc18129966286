package drop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	restPoll  = 20 * time.Millisecond
	restQuiet = 5 * time.Second // longer than the servers take to publish again what the log did not acknowledge
)

// Wait says what WaitForRest waits for.
type Wait struct {
	Rows     int64                                    // as many as are expected
	Backlog  func(ctx context.Context) (int64, error) // records the consumers have not finished; nil when it is not known
	Progress func(rows int64)                         // called after each look; may be nil
	Quiet    time.Duration                            // give up on missing rows after so long without a change; 0 means 5 s
}

// Rest is a campaign at rest.
type Rest struct {
	Rows    int64
	LastRow time.Time // when the last one was issued, by the consumer's clock; zero without rows
}

// WaitForRest returns when the consumers have finished everything and the expected rows are there, or none was added for
// as long as Wait.Quiet says. It does not stop at the expected number while there is a backlog, so that it also sees rows
// too many. A store that does not answer is asked again; the error is that of ctx, with the reason.
func WaitForRest(ctx context.Context, db *sql.DB, campaign string, wait Wait) (Rest, error) {
	if wait.Quiet == 0 {
		wait.Quiet = restQuiet
	}
	var rest Rest
	var changed time.Time
	for {
		found, backlog, err := look(ctx, db, campaign, wait)
		now := time.Now()
		if changed.IsZero() || found.Rows != rest.Rows || backlog > 0 || err != nil {
			changed = now
		}
		if err == nil {
			rest = found
			if wait.Progress != nil {
				wait.Progress(rest.Rows)
			}
			if backlog == 0 && (rest.Rows >= wait.Rows || now.Sub(changed) >= wait.Quiet) {
				return rest, nil
			}
		}
		select {
		case <-ctx.Done():
			unrest := fmt.Errorf("campaign %s is not at rest: %d rows of %d, backlog %d: %w", campaign, rest.Rows, wait.Rows, backlog, ctx.Err())
			return rest, errors.Join(unrest, err)
		case <-time.After(restPoll):
		}
	}
}

// look asks for the backlog first: rows of what was finished by then are seen.
func look(ctx context.Context, db *sql.DB, campaign string, wait Wait) (rest Rest, backlog int64, err error) {
	if wait.Backlog != nil {
		if backlog, err = wait.Backlog(ctx); err != nil {
			return Rest{}, 0, fmt.Errorf("backlog: %w", err)
		}
	}
	var last sql.NullTime
	err = db.QueryRowContext(ctx, `SELECT COUNT(*), MAX(issued_at) FROM coupons
		WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`, campaign).Scan(&rest.Rows, &last)
	rest.LastRow = last.Time
	return rest, backlog, err
}
