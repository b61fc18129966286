package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/seonchak/seonchak/tools/chaos/faults"
	"github.com/seonchak/seonchak/tools/chaos/world"
)

// What the long form goes on until.
const (
	longKills = 1000
	longKinds = 40
	longAcked = 1_000_000
)

// What the short form must have shown.
const (
	shortKills   = 50
	shortWindows = 10
	shortAcked   = 20_000
)

// suite is many runs in one world.
type suite struct {
	settings
	out, progress io.Writer

	world  *world.World
	ledger *ledger
	bin    string // folder of the programs that run; "" = none does
	lived  int    // runs of the site at hand
	fresh  []Record

	withoutCheck bool // the database's own wall against too many rows is down
}

// errWrong is the end of a suite in which something was wrong.
var errWrong = errors.New("something is wrong, see above")

func (s *suite) run(ctx context.Context) error {
	classes, notCovered, err := s.classes()
	if err != nil {
		return err
	}
	if s.ledger, err = openLedger(s.ledgerPath); err != nil {
		return err
	}
	if s.world, err = world.Open(ctx, world.Config{Dir: s.dir, Scripts: s.scripts}); err != nil {
		return err
	}
	err = s.runs(ctx, classes)
	err = errors.Join(err, s.world.Close(), s.ledger.close())
	shown := s.fresh
	if s.long {
		shown = s.ledger.records
	}
	if len(shown) == 0 {
		return err
	}
	if failed := writeTable(s.out, shown, notCovered); failed != nil {
		return errors.Join(err, failed)
	}
	return errors.Join(err, s.verdict(sum(shown)))
}

// verdict says whether the suite has shown what it is for.
func (s *suite) verdict(t totals) error {
	var short []error
	want := func(name string, have, least int64) {
		if have < least {
			short = append(short, fmt.Errorf("too little to prove anything: %s %d, wanted %d", name, have, least))
		}
	}
	switch {
	case t.bad > 0:
		return errWrong
	case s.only != "" || s.count > 0:
		return nil
	case s.long:
		want("SIGKILLs", int64(t.kills), longKills)
		want("kinds of fault window", int64(t.kinds), longKinds)
		want("acknowledged grants", t.acked, longAcked)
	default:
		want("SIGKILLs", int64(t.kills), shortKills)
		want("fault windows", int64(t.windows), shortWindows)
		want("acknowledged grants", t.acked, shortAcked)
	}
	if missing := unpassed(t); len(missing) > 0 {
		short = append(short, fmt.Errorf("crash points that killed nothing: %v", missing))
	}
	return errors.Join(short...)
}

// classes are those to run, and the names of those that cannot be.
func (s *suite) classes() (chosen []faults.Class, notCovered []string, err error) {
	pattern, err := regexp.Compile(s.only)
	if err != nil {
		return nil, nil, fmt.Errorf("--only: %w", err)
	}
	for _, c := range faults.All() {
		switch {
		case s.only != "" && c.Name != s.only && !pattern.MatchString(c.Name):
		case s.only == "" && (c.Planted || !s.long && !c.Short):
		case c.Needs != "" && !there(s.folder(c)):
			notCovered = append(notCovered, c.Name)
		default:
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		err = fmt.Errorf("no fault class to run (--only %q); --list shows all", s.only)
	}
	return chosen, notCovered, err
}

func (s *suite) folder(c faults.Class) string { return filepath.Join(s.programs, c.Needs) }

func there(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "api-server"))
	return err == nil
}

func (s *suite) runs(ctx context.Context, classes []faults.Class) error {
	total := len(classes)
	if s.count > 0 {
		total = s.count * len(classes)
	}
	show := newProgress(s.progress, total)
	_, _ = fmt.Fprintf(s.progress, "chaos --seed %d: %d fault classes, logs in %s\n", s.seed, len(classes), s.dir)
	for i := 0; !s.enough(i, len(classes)); i++ {
		class := classes[i%len(classes)]
		show.class = class.Name
		record, err := s.one(ctx, class, s.seed+uint64(i), show.phase)
		if err != nil {
			return err
		}
		show.done(record)
		s.fresh = append(s.fresh, record)
		if err := s.ledger.add(record); err != nil {
			return err
		}
	}
	return nil
}

// enough reports whether the run of that number is not wanted any more.
func (s *suite) enough(i, classes int) bool {
	switch {
	case s.count > 0:
		return i >= s.count*classes
	case s.long:
		t := sum(s.ledger.records)
		return t.kills >= longKills && t.kinds >= min(longKinds, classes) && t.acked >= longAcked
	default:
		return i >= classes
	}
}

// one makes one run; after one that went wrong everything is made anew, so that it cannot spoil the next.
func (s *suite) one(ctx context.Context, class faults.Class, seed uint64, phase func(string)) (Record, error) {
	if folder := s.folder(class); s.bin != folder || s.lived >= siteRuns {
		if err := s.populate(ctx, folder, phase); err != nil {
			return Record{}, err
		}
	}
	s.lived++
	r := &runner{world: s.world, workers: s.workers, rate: s.rate, show: phase}
	record := r.run(ctx, class, seed)
	if ctx.Err() != nil {
		return record, ctx.Err()
	}
	if record.OK() {
		return record, nil
	}
	return record, s.renew(ctx)
}

func (s *suite) populate(ctx context.Context, folder string, phase func(string)) error {
	phase("starting")
	if err := s.world.Clear(); err != nil {
		return err
	}
	s.bin, s.lived = folder, 0
	err := s.world.Populate(ctx, world.Population{Bin: folder, Servers: servers, Consumers: consumers, Env: s.environment})
	if err != nil || !s.withoutCheck {
		return err
	}
	_, err = s.world.DB.ExecContext(ctx, `ALTER TABLE campaigns DROP CONSTRAINT campaigns_within_limit`)
	return err
}

// The programs of a site, and how many runs it serves before there is a fresh one: what its wardens and reconciliations
// look after grows with every run.
const (
	servers   = 2
	consumers = 2
	siteRuns  = 15
)

// renew throws everything away; the next run has new stores and new programs.
func (s *suite) renew(ctx context.Context) (err error) {
	const attempts = 3 // a busy machine may be too slow for a store to start
	s.bin = ""
	for range attempts {
		if err := s.world.Close(); err != nil {
			return err
		}
		if s.world, err = world.Open(ctx, world.Config{Dir: s.dir, Scripts: s.scripts}); err == nil || ctx.Err() != nil {
			return err
		}
		_, _ = fmt.Fprintln(s.progress, "once more:", err)
	}
	return err
}
