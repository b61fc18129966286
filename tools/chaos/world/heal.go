package world

import (
	"context"
	"errors"
)

// Heal puts everything back: links, stores, programs. It returns when the programs are ready.
func (w *World) Heal(ctx context.Context) error {
	for _, links := range w.links {
		for _, l := range links {
			if err := l.Mend(ctx); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(w.Redis.heal(ctx), w.Kafka.heal(ctx), w.MySQL.heal(ctx)); err != nil {
		return err
	}
	if w.DB != nil {
		if err := w.writable(ctx); err != nil {
			return err
		}
	}
	return w.awaitPrograms(ctx)
}

func (w *World) writable(ctx context.Context) error {
	_, err := w.DB.ExecContext(ctx, `SET GLOBAL read_only = 0`)
	return err
}

func (w *World) awaitPrograms(ctx context.Context) error {
	for _, p := range w.Programs() {
		if err := p.plain(ctx); err != nil {
			return err
		}
	}
	return nil
}
