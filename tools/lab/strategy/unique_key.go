package strategy

import (
	"context"
	"database/sql"
)

var uniqueKeySpec = Spec{
	Name: "unique-key", Unique: true, Counts: true,
	What: "UNIQUE (user) stops the second row of a user; the counter is raised after the insert and looked at then.",
	When: `Enrolment, registration, anything where a user has one and the crowd is small. Everybody writes, those who are refused too,
so all of them queue at the counter's row; and several a user need a number in the key that somebody has to give out.`,
	New: func(w *World) Strategy { return &uniqueKey{w} },
}

type uniqueKey struct{ *World }

func (s *uniqueKey) Grant(ctx context.Context, user string) (Outcome, error) {
	return s.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) {
		err := insertGrant(ctx, tx, user)
		if number(err) == errDuplicate {
			return Replayed, errRollback
		}
		if err != nil {
			return "", err
		}
		s.AfterRead()
		s.Halfway()
		if _, err := tx.ExecContext(ctx, `UPDATE campaign SET granted = granted + 1`); err != nil {
			return "", err
		}
		var over bool
		if err := tx.QueryRowContext(ctx, `SELECT granted > quota FROM campaign`).Scan(&over); err != nil {
			return "", err
		}
		if over {
			return SoldOut, errRollback
		}
		return Granted, nil
	})
}

// Cancel locks in the order of a grant: the user's row, then the counter's.
func (s *uniqueKey) Cancel(ctx context.Context, user string) error {
	_, err := s.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) { return "", cancel(ctx, tx, user) })
	return err
}
