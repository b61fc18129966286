package strategy

import (
	"context"
	"database/sql"
	"errors"
)

var naiveSpec = Spec{
	Name: "naive", Counts: true,
	What: "Read the count, compare it with the limit, insert, write the count back.",
	When: `Never where two requests can meet. It passes every test that one person makes by hand, which is why it is in so many
programs.`,
	New: func(w *World) Strategy { return &naive{w} },
}

// naive is what everybody writes first: it relies on what it has read still being true.
type naive struct{ *World }

func (s *naive) Grant(ctx context.Context, user string) (Outcome, error) {
	return s.readThenWrite(ctx, s.DB, user)
}

func (s *naive) Add(ctx context.Context, user string, points int) error {
	return s.addToRead(ctx, s.DB, user, points)
}

func (s *naive) Cancel(ctx context.Context, user string) error { return cancel(ctx, s.DB, user) }

// readThenWrite is exact as long as nobody else comes between its read and its writes.
func (w *World) readThenWrite(ctx context.Context, db queryer, user string) (Outcome, error) {
	var quota, granted int
	var held bool
	err := db.QueryRowContext(ctx, `SELECT quota, granted, EXISTS (SELECT 1 FROM grants WHERE user = ?) FROM campaign`, user).
		Scan(&quota, &granted, &held)
	switch {
	case err != nil:
		return "", err
	case held:
		return Replayed, nil
	case granted >= quota:
		return SoldOut, nil
	}
	w.AfterRead()
	if err := insertGrant(ctx, db, user); err != nil {
		return "", err
	}
	w.Halfway()
	_, err = db.ExecContext(ctx, `UPDATE campaign SET granted = ?`, granted+1)
	return Granted, err
}

// addToRead adds points and sets the grade, which follows from them.
func (w *World) addToRead(ctx context.Context, db queryer, user string, points int) error {
	had, err := readPoints(ctx, db, user, "")
	if err != nil {
		return err
	}
	w.AfterRead()
	w.Halfway()
	_, err = db.ExecContext(ctx, `UPDATE points SET points = ?, grade = ? WHERE user = ?`, had+points, Grade(had+points), user)
	return err
}

func readPoints(ctx context.Context, db queryer, user, lock string) (points int, err error) {
	err = db.QueryRowContext(ctx, `SELECT points FROM points WHERE user = ? `+lock, user).Scan(&points)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errors.New("the user has no account")
	}
	return points, err
}

// Grade is what a user's points are worth.
func Grade(points int) int { return points / 100 }

func cancel(ctx context.Context, db queryer, user string) error {
	deleted, err := changed(ctx, db, `DELETE FROM grants WHERE user = ?`, user)
	if err != nil || !deleted {
		return err
	}
	_, err = db.ExecContext(ctx, `UPDATE campaign SET granted = granted - 1`)
	return err
}

// cancelInOne cancels in a transaction that locks in the order of a grant: campaign, then grants.
func (w *World) cancelInOne(ctx context.Context, user string) error {
	_, err := w.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) {
		var id int
		if err := tx.QueryRowContext(ctx, `SELECT id FROM campaign FOR UPDATE`).Scan(&id); err != nil {
			return "", err
		}
		return "", cancel(ctx, tx, user)
	})
	return err
}
