package strategy

import (
	"context"
	"database/sql"
)

var (
	readCommittedSpec = isolationSpec("isolation-read-committed", sql.LevelReadCommitted, `Never for a value that is read and written back. The
transaction makes the two writes one, and leaves the read out: the lost update remains.`)
	repeatableReadSpec = isolationSpec("isolation-repeatable-read", sql.LevelRepeatableRead, `Never for a value that is read and written back,
although its name sounds so: the snapshot is for reads, a write goes to the newest row, and the lost update remains. It is the default
of MySQL and MariaDB (whose innodb_snapshot_isolation, on since 11.6 and off in the lab, turns the lost update into an error).`)
	serializableSpec = isolationSpec("isolation-serializable", sql.LevelSerializable, `Rare writers whose rules span several rows. Every read
locks, two readers that both want to write are a deadlock, and one of them starts again: exact, and slower the more meet.`)
)

func isolationSpec(name string, level sql.IsolationLevel, when string) Spec {
	return Spec{
		Name: name, Counts: true, What: "The naive way in a transaction at the isolation level " + level.String() + ".", When: when,
		New: func(w *World) Strategy { return &isolation{w, level} },
	}
}

type isolation struct {
	*World
	level sql.IsolationLevel
}

func (s *isolation) Grant(ctx context.Context, user string) (Outcome, error) {
	return s.transact(ctx, s.level, func(tx *sql.Tx) (Outcome, error) { return s.readThenWrite(ctx, tx, user) })
}

func (s *isolation) Add(ctx context.Context, user string, points int) error {
	_, err := s.transact(ctx, s.level, func(tx *sql.Tx) (Outcome, error) { return "", s.addToRead(ctx, tx, user, points) })
	return err
}

func (s *isolation) Cancel(ctx context.Context, user string) error {
	_, err := s.transact(ctx, s.level, func(tx *sql.Tx) (Outcome, error) { return "", cancel(ctx, tx, user) })
	return err
}
