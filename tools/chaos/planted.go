package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seonchak/seonchak/pkg/planted"
	"github.com/seonchak/seonchak/tools/chaos/faults"
)

type trap struct {
	bug     planted.Bug
	classes []string
}

// traps are the fault classes that must catch each bug, the likeliest first.
var traps = []trap{
	{planted.CompensateOnTimeout, []string{"link api-server-kafka half-open", "link api-server-kafka blackhole"}},
	{planted.OffsetFirst, []string{"kill consumer at points", "mysql row locked (1205)", "kill consumers"}},
	{planted.SwallowLockTimeout, []string{"mysql row locked (1205)"}},
	{planted.NoSeal, []string{"redis stale replica promoted", "redis split brain"}},
	{planted.NoConfirm, []string{"redis away for consumers 8 s", "fences while the log is slow"}},
	{planted.ForgetBeforeAck, []string{"log dark, api-servers killed", "kill api-server at points"}},
	{planted.SoldOutForEver, []string{"limit raised after sold out"}},
	{planted.UserFromBody, []string{"forged user in the body"}},
	{planted.NoEpochCheck, []string{"late records of a closed epoch"}},
	{planted.NoWalls, []string{"forged records above the limit"}},
}

// tries is how many seeds a trap gets: some bugs need luck.
const tries = 2

// catchPlanted runs the programs with each bug and expects the suite to see it.
func catchPlanted(ctx context.Context, s settings, stdout, stderr io.Writer) (err error) {
	trapper, err := openLane(ctx, s, 0, stderr)
	defer func() { err = errors.Join(err, trapper.close()) }()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format+"\n", args...) } // Flush tells
	line("bug\tcaught by\tfault class\tseed")
	var escaped []error
	for _, t := range traps {
		if s.only != "" && s.only != string(t.bug) {
			continue
		}
		caught, err := trapper.catch(ctx, t)
		if err != nil {
			return errors.Join(err, table.Flush())
		}
		if len(caught.Layers) == 0 {
			escaped = append(escaped, fmt.Errorf("the bug %s was not caught", t.bug))
			line("%s\tNOT CAUGHT\t%s\t", t.bug, strings.Join(t.classes, ", "))
			continue
		}
		slices.Sort(caught.Layers)
		line("%s\t%s\t%s\t%d", t.bug, strings.Join(slices.Compact(caught.Layers), ", "), caught.Class, caught.Seed)
	}
	return errors.Join(append(escaped, table.Flush())...)
}

// catch returns the first run that saw the bug, or the last one that did not. A run that could not be made catches nothing.
func (l *lane) catch(ctx context.Context, t trap) (last Record, err error) {
	l.environment, l.withoutCheck, l.bin = []string{"SEONCHAK_PLANTED=" + string(t.bug)}, t.bug == planted.NoWalls, ""
	for try := range uint64(tries) {
		for _, name := range t.classes {
			class, found := faults.Find(name)
			if !found {
				return last, fmt.Errorf("there is no fault class %q", name)
			}
			last, err = l.one(ctx, class, l.seed+try, func(string) {})
			if err != nil {
				return last, err
			}
			_, _ = fmt.Fprintln(l.complain, t.bug, describe(last))
			if len(last.Layers) > 0 {
				return last, nil
			}
		}
	}
	return last, nil
}
