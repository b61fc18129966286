package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/seonchak/seonchak/tools/chaos/faults"
	"github.com/seonchak/seonchak/tools/chaos/world"
)

// lane is a world of its own in which one run is made after the other. Most of a run is waiting, so that lanes side by side
// make more of a machine.
type lane struct {
	settings
	complain io.Writer

	world *world.World
	bin   string // folder of the programs that run; "" = none does
	lived int    // runs of the site at hand

	withoutCheck bool // the database's own wall against too many rows is down
}

// The programs of a site, and how many runs it serves before there is a fresh one: what its wardens and reconciliations
// look after grows with every run.
const (
	servers   = 2
	consumers = 2
	siteRuns  = 15
)

// openLane starts the stores of the lane of that number.
func openLane(ctx context.Context, s settings, number int, complain io.Writer) (*lane, error) {
	s.dir = filepath.Join(s.dir, fmt.Sprintf("lane-%d", number))
	l := &lane{settings: s, complain: complain}
	return l, l.renew(ctx)
}

func (l *lane) close() error {
	if l.world == nil {
		return nil
	}
	return l.world.Close()
}

// one makes one run; after one that went wrong everything is made anew, so that it cannot spoil the next.
func (l *lane) one(ctx context.Context, class faults.Class, seed uint64, show func(phase string)) (Record, error) {
	if folder := l.folder(class); l.bin != folder || l.lived >= siteRuns {
		if err := l.populate(ctx, folder, show); err != nil {
			return Record{}, err
		}
	}
	l.lived++
	r := &runner{world: l.world, workers: l.workers, rate: l.rate, show: show}
	record := r.run(ctx, class, seed)
	if ctx.Err() != nil {
		return record, ctx.Err()
	}
	if record.OK() {
		return record, nil
	}
	return record, l.renew(ctx)
}

func (l *lane) populate(ctx context.Context, folder string, show func(phase string)) error {
	show("starting")
	if err := l.world.Clear(); err != nil {
		return err
	}
	l.bin, l.lived = folder, 0
	err := l.world.Populate(ctx, world.Population{Bin: folder, Servers: servers, Consumers: consumers, Env: l.environment})
	if err != nil || !l.withoutCheck {
		return err
	}
	_, err = l.world.DB.ExecContext(ctx, `ALTER TABLE campaigns DROP CONSTRAINT campaigns_within_limit`)
	return err
}

// renew throws everything away; the next run has new stores and new programs.
func (l *lane) renew(ctx context.Context) (err error) {
	const attempts = 3 // a busy machine may be too slow for a store to start
	l.bin = ""
	for range attempts {
		if err := l.close(); err != nil {
			return err
		}
		if l.world, err = world.Open(ctx, world.Config{Dir: l.dir, Scripts: l.scripts}); err == nil || ctx.Err() != nil {
			return err
		}
		l.world = nil
		_, _ = fmt.Fprintln(l.complain, "once more:", err)
	}
	return errors.Join(errors.New("the stores do not start"), err)
}
