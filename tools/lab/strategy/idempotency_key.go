package strategy

import (
	"context"
	"database/sql"
	"errors"
)

var (
	idempotencyOutsideSpec = Spec{
		Name: "idempotency-key-outside", Counts: true,
		What: "The answer to a request is stored under its key and replayed; the key is looked up before the lock.",
		When: `Never: two clicks both look, both find nothing, and wait for the lock one after the other. It looks right because each alone
is.`,
		New: func(w *World) Strategy { return &idempotencyKey{w, false} },
	}
	idempotencyInsideSpec = Spec{
		Name: "idempotency-key-inside", Counts: true,
		What: "The same with the key looked up and stored under the lock, in the transaction of what it stands for.",
		When: `Payments, orders, anything that a client repeats because it does not know. Every answer is kept, the refusals too, so a user who
was told that all are gone hears that again when a place is free; and each costs a row.`,
		New: func(w *World) Strategy { return &idempotencyKey{w, true} },
	}
)

// idempotencyKey has the user's name for the key: a user charges once.
type idempotencyKey struct {
	*World
	inside bool
}

func (s *idempotencyKey) Grant(ctx context.Context, user string) (Outcome, error) {
	if !s.inside {
		if before, err := s.stored(ctx, s.DB, user); before != "" || err != nil {
			return before, err
		}
		s.AfterRead()
	}
	return s.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) {
		var quota, granted int
		if err := tx.QueryRowContext(ctx, `SELECT quota, granted FROM campaign FOR UPDATE`).Scan(&quota, &granted); err != nil {
			return "", err
		}
		if s.inside {
			if before, err := s.stored(ctx, tx, user); before != "" || err != nil {
				return before, err
			}
			s.AfterRead()
		}
		return s.charge(ctx, tx, user, granted < quota)
	})
}

func (s *idempotencyKey) charge(ctx context.Context, tx *sql.Tx, user string, free bool) (Outcome, error) {
	outcome := SoldOut
	if free {
		outcome = Granted
		if err := insertGrant(ctx, tx, user); err != nil {
			return "", err
		}
		s.Halfway()
		if _, err := tx.ExecContext(ctx, `UPDATE campaign SET granted = granted + 1`); err != nil {
			return "", err
		}
	}
	_, err := tx.ExecContext(ctx, `REPLACE INTO answers (request, outcome) VALUES (?, ?)`, user, string(outcome))
	return outcome, err
}

// stored is the answer that was given before, or "".
func (s *idempotencyKey) stored(ctx context.Context, db queryer, user string) (before Outcome, err error) {
	err = db.QueryRowContext(ctx, `SELECT outcome FROM answers WHERE request = ?`, user).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if before == Granted {
		before = Replayed
	}
	return before, err
}
