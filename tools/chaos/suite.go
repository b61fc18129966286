package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/tools/chaos/faults"
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

// suite is many runs, in lanes.
type suite struct {
	settings
	out, progress io.Writer

	mu      sync.Mutex // of what the lanes share
	started int        // runs
	kinds   int        // of fault windows the long form wants
	ledger  *ledger
	fresh   []Record
	show    *progress
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
	if s.long {
		s.kinds = min(longKinds, len(windows(classes)))
		classes, s.started = alternating(classes), len(s.ledger.records)
	}
	err = errors.Join(s.runs(ctx, classes), s.ledger.close())
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

// alternating puts a class that only kills before each of the others: the long form wants many kills.
func alternating(classes []faults.Class) (order []faults.Class) {
	others := windows(classes)
	kills := slices.DeleteFunc(slices.Clone(classes), func(c faults.Class) bool { return !c.Kills })
	if len(kills) == 0 || len(others) == 0 {
		return classes
	}
	for i, c := range others {
		order = append(order, kills[i%len(kills)], c)
	}
	return order
}

// windows are the classes that do more than kill programs.
func windows(classes []faults.Class) []faults.Class {
	return slices.DeleteFunc(slices.Clone(classes), func(c faults.Class) bool { return c.Kills })
}

func (s *settings) folder(c faults.Class) string { return filepath.Join(s.programs, c.Needs) }

func there(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "api-server"))
	return err == nil
}

// runs opens the lanes and lets each make one run after the other.
func (s *suite) runs(ctx context.Context, classes []faults.Class) error {
	total := len(classes)
	if s.count > 0 {
		total = s.count * len(classes)
	}
	s.show = newProgress(s.progress, total)
	_, _ = fmt.Fprintf(s.progress, "chaos --seed %d: %d fault classes, logs in %s\n", s.seed, len(classes), s.dir)
	group, ctx := errgroup.WithContext(ctx)
	for number := range min(s.lanes, total) {
		group.Go(func() error { return s.keepRunning(ctx, number, classes) })
	}
	return group.Wait()
}

// keepRunning makes runs in a lane of its own until there are enough.
func (s *suite) keepRunning(ctx context.Context, number int, classes []faults.Class) (err error) {
	lane, err := openLane(ctx, s.settings, number, s.progress)
	defer func() { err = errors.Join(err, lane.close()) }()
	for err == nil {
		i, more := s.next(len(classes))
		if !more {
			return nil
		}
		class := classes[i%len(classes)]
		var record Record
		record, err = lane.one(ctx, class, s.seed+uint64(i), func(phase string) { s.shows(class.Name, phase) })
		if record.Class != "" && ctx.Err() == nil {
			err = errors.Join(err, s.made(record))
		}
	}
	return err
}

// next returns the number of a run that nobody makes yet; the classes take turns.
func (s *suite) next(classes int) (number int, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.enough(s.started, classes) {
		return 0, false
	}
	s.started++
	return s.started - 1, true
}

// enough reports whether the run of that number is not wanted any more.
func (s *suite) enough(i, classes int) bool {
	switch {
	case s.count > 0:
		return i >= s.count*classes
	case s.long:
		t := sum(s.ledger.records)
		return t.kills >= longKills && t.kinds >= s.kinds && t.acked >= longAcked
	default:
		return i >= classes
	}
}

// made keeps what came of a run.
func (s *suite) made(r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show.done(r)
	s.fresh = append(s.fresh, r)
	return s.ledger.add(r)
}

func (s *suite) shows(class, phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show.phase(class, phase)
}
