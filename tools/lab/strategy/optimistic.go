package strategy

import (
	"context"
	"database/sql"
	"errors"
)

var optimisticSpec = Spec{
	Name: "optimistic", Unique: true, Counts: true,
	What: "Read the version with the count, write where the version is still the same, else read again.",
	When: `Records that seldom meet two writers: a profile, a document. In a drop all meet at one row: of those who read the same version
one wins, the rest have worked for nothing, and who comes late with luck passes who came early without.`,
	New: func(w *World) Strategy { return &optimistic{w} },
}

type optimistic struct{ *World }

// errMoved means that somebody else has written since the read.
var errMoved = errors.New("the version has moved")

func (s *optimistic) Grant(ctx context.Context, user string) (Outcome, error) {
	for range tries {
		var quota, granted, version int
		var held bool
		err := s.DB.QueryRowContext(ctx, `SELECT quota, granted, version, EXISTS (SELECT 1 FROM grants WHERE user = ?) FROM campaign`, user).
			Scan(&quota, &granted, &version, &held)
		switch {
		case err != nil:
			return "", err
		case held:
			return Replayed, nil
		case granted >= quota:
			return SoldOut, nil
		}
		s.AfterRead()
		outcome, err := s.swap(ctx, user, version)
		if !errors.Is(err, errMoved) {
			return outcome, err
		}
		s.again(longestPause)
	}
	return "", ErrBusy
}

func (s *optimistic) swap(ctx context.Context, user string, version int) (Outcome, error) {
	return s.transact(ctx, sql.LevelDefault, func(tx *sql.Tx) (Outcome, error) {
		same, err := changed(ctx, tx, `UPDATE campaign SET granted = granted + 1, version = version + 1 WHERE version = ?`, version)
		if err != nil {
			return "", err
		}
		if !same {
			return "", errMoved
		}
		s.Halfway()
		return Granted, insertGrant(ctx, tx, user)
	})
}

func (s *optimistic) Cancel(ctx context.Context, user string) error { return s.cancelInOne(ctx, user) }

func (s *optimistic) Add(ctx context.Context, user string, points int) error {
	for range tries {
		var had, version int
		if err := s.DB.QueryRowContext(ctx, `SELECT points, version FROM points WHERE user = ?`, user).Scan(&had, &version); err != nil {
			return err
		}
		s.AfterRead()
		s.Halfway()
		same, err := changed(ctx, s.DB, `UPDATE points SET points = ?, grade = ?, version = version + 1 WHERE user = ? AND version = ?`,
			had+points, Grade(had+points), user, version)
		if err != nil || same {
			return err
		}
		s.again(longestPause)
	}
	return ErrBusy
}
