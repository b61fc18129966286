package strategy

import (
	"context"
	"database/sql"
)

var atomicUpdateSpec = Spec{
	Name: "atomic-update", Unique: true, Counts: true,
	What: "UPDATE … SET granted = granted + 1 WHERE granted < quota, and the row under UNIQUE (user) in the same transaction.",
	When: `The best that a database does by itself: exact, decided by one statement, and who comes when all are gone writes nothing.
Take it as long as its speed is enough and the database has nothing else to do while the crowd is there.`,
	New: func(w *World) Strategy { return &atomicUpdate{w} },
}

type atomicUpdate struct{ *World }

func (s *atomicUpdate) Grant(ctx context.Context, user string) (Outcome, error) {
	s.AfterRead() // there is none: however many are here, the UPDATE reads for itself
	return s.takePlace(ctx, user, func(*sql.Tx) error { s.Halfway(); return nil })
}

// takePlace also does what else belongs to a grant, in the same transaction; nil if that is all.
func (w *World) takePlace(ctx context.Context, user string, also func(tx *sql.Tx) error) (Outcome, error) {
	return w.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) {
		free, err := changed(ctx, tx, `UPDATE campaign SET granted = granted + 1 WHERE granted < quota`)
		if err != nil {
			return "", err
		}
		if !free {
			return standing(ctx, tx, user)
		}
		err = insertGrant(ctx, tx, user)
		if number(err) == errDuplicate {
			return Replayed, errRollback
		}
		if err != nil {
			return "", err
		}
		if also != nil {
			err = also(tx)
		}
		return Granted, err
	})
}

// standing is the answer when all are gone.
func standing(ctx context.Context, db queryer, user string) (Outcome, error) {
	held, err := holds(ctx, db, user)
	if held {
		return Replayed, err
	}
	return SoldOut, err
}

func (s *atomicUpdate) Cancel(ctx context.Context, user string) error {
	return s.cancelInOne(ctx, user)
}

func (s *atomicUpdate) Add(ctx context.Context, user string, points int) error {
	s.AfterRead()
	s.Halfway()
	_, err := s.DB.ExecContext(ctx, `UPDATE points SET points = points + ?, grade = points DIV 100 WHERE user = ?`, points, user)
	return err
}
