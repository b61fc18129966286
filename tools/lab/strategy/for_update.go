package strategy

import (
	"context"
	"database/sql"
)

var forUpdateSpec = Spec{
	Name: "for-update", Unique: true, Counts: true,
	What: "SELECT … FOR UPDATE on the campaign, then the naive way in the same transaction.",
	When: `The first choice while the crowd fits: it is exact, survives every crash, and anybody can read it. Everyone waits for one row,
each wait holds a connection, and a transaction that is slow for any reason is slow for all.`,
	New: func(w *World) Strategy { return &forUpdate{w} },
}

type forUpdate struct{ *World }

// Grant locks by a statement of its own: a snapshot taken before the lock was given would be an old one.
func (s *forUpdate) Grant(ctx context.Context, user string) (Outcome, error) {
	return s.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) {
		var id int
		if err := tx.QueryRowContext(ctx, `SELECT id FROM campaign FOR UPDATE`).Scan(&id); err != nil {
			return "", err
		}
		return s.readThenWrite(ctx, tx, user)
	})
}

func (s *forUpdate) Cancel(ctx context.Context, user string) error { return s.cancelInOne(ctx, user) }

func (s *forUpdate) Add(ctx context.Context, user string, points int) error {
	_, err := s.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) {
		if _, err := readPoints(ctx, tx, user, "FOR UPDATE"); err != nil {
			return "", err
		}
		return "", s.addToRead(ctx, tx, user, points)
	})
	return err
}
