package faults

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/seonchak/seonchak/tools/chaos/world"
)

func kafkaFaults() []Class {
	broker := func(s *Scene) *world.Service { return s.Kafka }
	return []Class{
		{Name: "kafka stopped and started", Short: true, Lasts: 12 * time.Second, Fault: stopped(broker)},
		{Name: "kafka killed", Lasts: 12 * time.Second, Fault: killed(broker)},
		{Name: "kafka SIGSTOP", Lasts: 6 * time.Second, Fault: frozen(broker, 4*time.Second)},
	}
}

func mysqlFaults() []Class {
	database := func(s *Scene) *world.Service { return s.MySQL }
	return []Class{
		{Name: "mysql stopped and started", Short: true, Lasts: 8 * time.Second, Fault: stopped(database)},
		{Name: "mysql killed", Lasts: 8 * time.Second, Fault: killed(database)},
		{Name: "mysql SIGSTOP", Lasts: 6 * time.Second, Fault: frozen(database, 4*time.Second)},
		{Name: "mysql connections killed", Lasts: 5 * time.Second, Fault: killConnections},
		{Name: "mysql read only", Lasts: 6 * time.Second, Fault: readOnly},
		{Name: "mysql row locked (1205)", Short: true, Lasts: 10 * time.Second, Fault: lockRow},
		{Name: "mysql deadlocks (1213)", Lasts: 6 * time.Second, Fault: deadlocks},
	}
}

func stopped(store func(*Scene) *world.Service) func(context.Context, *Scene) error {
	return window(2*time.Second,
		func(ctx context.Context, s *Scene) error { return store(s).Stop(ctx) },
		func(ctx context.Context, s *Scene) error { return store(s).Start(ctx) })
}

func killed(store func(*Scene) *world.Service) func(context.Context, *Scene) error {
	return window(time.Second,
		func(ctx context.Context, s *Scene) error { return store(s).Kill(ctx) },
		func(ctx context.Context, s *Scene) error { return store(s).Start(ctx) })
}

func frozen(store func(*Scene) *world.Service, stays time.Duration) func(context.Context, *Scene) error {
	return window(stays,
		func(_ context.Context, s *Scene) error { return store(s).Freeze() },
		func(_ context.Context, s *Scene) error { return store(s).Thaw() })
}

// killConnections ends every connection of the programs, again and again.
func killConnections(ctx context.Context, s *Scene) error {
	const times, pause = 8, 400 * time.Millisecond
	for range times {
		ids, err := connections(ctx, s.DB)
		if err != nil {
			return err
		}
		for _, id := range ids {
			_, _ = s.DB.ExecContext(ctx, `KILL ?`, id) // it may have ended by itself
		}
		if err := world.Pause(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

func connections(ctx context.Context, db *sql.DB) (ids []int64, err error) {
	rows, err := db.QueryContext(ctx, `SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// readOnly refuses every write, as a demoted primary does. A user who may write all the same would not notice, so the
// tables are locked against that.
func readOnly(ctx context.Context, s *Scene) error {
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, `SET GLOBAL read_only = 1`); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `FLUSH TABLES WITH READ LOCK`); err != nil {
		return err
	}
	paused := world.Pause(ctx, 4*time.Second)
	if _, err := conn.ExecContext(ctx, `UNLOCK TABLES`); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `SET GLOBAL read_only = 0`); err != nil {
		return err
	}
	return paused
}

// lockCampaign holds a campaign's row until release is called, which may be done more than once.
func (s *Scene) lockCampaign(ctx context.Context, campaign string) (release func(), err error) {
	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	var id int64
	if err := tx.QueryRowContext(ctx, `SELECT id FROM campaigns WHERE slug = ? FOR UPDATE`, campaign).Scan(&id); err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	var once sync.Once
	return func() { once.Do(func() { _ = tx.Rollback() }) }, nil
}

// lockRow holds the row for longer than a statement waits for one, and less than the consumers are patient.
func lockRow(ctx context.Context, s *Scene) error {
	release, err := s.lockCampaign(ctx, s.Main.ID)
	if err != nil {
		return err
	}
	defer release()
	return world.Pause(ctx, 8*time.Second)
}

// deadlocks takes a row of a campaign's coupons first and then the campaign's, the wrong way round.
func deadlocks(ctx context.Context, s *Scene) error {
	const times, pause = 20, 150 * time.Millisecond
	for range times {
		if err := s.crossLocks(ctx); err != nil {
			return err
		}
		if err := world.Pause(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scene) crossLocks(ctx context.Context) error {
	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	const next = `SELECT COALESCE(MAX(serial), 0) FROM coupons WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?) FOR UPDATE`
	var last int64
	if err := tx.QueryRowContext(ctx, next, s.Main.ID).Scan(&last); err != nil {
		return nil //nolint:nilerr // a deadlock that this side lost is what was wanted
	}
	_, _ = tx.ExecContext(ctx, `UPDATE campaigns SET name = name WHERE slug = ?`, s.Main.ID) // either side may lose
	return nil
}
