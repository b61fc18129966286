package strategy

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"strings"
	"time"
)

var (
	externalCallSpec = Spec{
		Name: "external-call", Unique: true, Counts: true,
		What: "The reward is a call to a partner that cannot be rolled back: commit, call, and call once more after a time-out.",
		When: `Never for what has a price. A time-out says nothing: the call may have been carried out, then the second is a double reward; or
not, then giving up is a lost one. A crash after the commit loses it as well.`,
		New: func(w *World) Strategy { return &externalCall{w} },
	}
	externalOutboxSpec = Spec{
		Name: "external-call-outbox", Unique: true, Counts: true,
		What: "The call is written into an outbox with the grant; a worker calls, under a key that the partner knows, until it is told yes.",
		When: `Whenever the reward is somebody else's: a point, a message, a payment. The partner must take the key for what it is; without it
the outbox too can only choose between twice and perhaps never.`,
		New: func(w *World) Strategy { return &externalOutbox{w} },
	}
)

var errTimeOut = errors.New("the partner did not answer in time")

// callPartner asks the partner for a reward. The first call for a user whose name ends in 0 is carried out and its answer
// lost; the first two for one whose name ends in 1 never arrive. Calls with one id are one reward.
func (w *World) callPartner(ctx context.Context, user, id string, attempt int) error {
	if strings.HasSuffix(user, "1") && attempt < 2 {
		return errTimeOut
	}
	if _, err := w.DB.ExecContext(ctx, `INSERT IGNORE INTO rewards (call_id, user) VALUES (?, ?)`, id, user); err != nil {
		return err
	}
	if strings.HasSuffix(user, "0") && attempt == 0 {
		return errTimeOut
	}
	return nil
}

type externalCall struct{ *World }

func (s *externalCall) Grant(ctx context.Context, user string) (Outcome, error) {
	outcome, err := s.takePlace(ctx, user, nil)
	if err != nil || outcome != Granted {
		return outcome, err
	}
	s.Halfway()
	for attempt := range 2 {
		if err = s.callPartner(ctx, user, rand.Text(), attempt); !errors.Is(err, errTimeOut) {
			return Granted, err
		}
		s.Retries.Add(1)
	}
	return Granted, nil // it has surely arrived by now
}

type externalOutbox struct{ *World }

func (s *externalOutbox) Grant(ctx context.Context, user string) (Outcome, error) {
	return s.takePlace(ctx, user, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO outbox (user) VALUES (?)`, user)
		return err
	})
}

// Work calls until it is told yes, and forgets only then: after a crash it calls again, under the same key.
func (s *externalOutbox) Work(ctx context.Context) error {
	const poll = 10 * time.Millisecond
	for attempt := 0; ctx.Err() == nil; {
		var id int64
		var user string
		err := s.DB.QueryRowContext(ctx, `SELECT id, user FROM outbox ORDER BY id LIMIT 1`).Scan(&id, &user)
		if errors.Is(err, sql.ErrNoRows) {
			<-time.After(poll)
			continue
		}
		if err != nil {
			return err
		}
		if err := s.callPartner(ctx, user, user, attempt); errors.Is(err, errTimeOut) {
			attempt++
			s.Retries.Add(1)
			continue
		} else if err != nil {
			return err
		}
		attempt = 0
		s.Halfway()
		if _, err := s.DB.ExecContext(ctx, `DELETE FROM outbox WHERE id = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// Backlog counts the calls that were not told yes.
func (s *externalOutbox) Backlog(ctx context.Context) (n int64, err error) {
	err = s.DB.QueryRowContext(ctx, `SELECT COUNT(*) FROM outbox`).Scan(&n)
	return n, err
}
