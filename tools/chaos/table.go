package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seonchak/seonchak/tools/chaos/faults"
	"github.com/seonchak/seonchak/tools/drop"
)

// writeTable writes one line a fault class, and below it what all came to.
func writeTable(w io.Writer, records []Record, notCovered []string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format+"\n", args...) } // Flush tells
	line("fault class\truns\tkills\tacked\tlost\tdoubled\tover\twrong\tunrest\tgrant p50\tmax\trest p50\tmax\twithin 1 s\tslowest\t")
	names, groups := byClass(records)
	for _, name := range names {
		line("%s\t%s", name, figures(groups[name]))
	}
	line("total\t%s", figures(records))
	if err := table.Flush(); err != nil {
		return err
	}
	t := sum(records)
	var b strings.Builder
	fmt.Fprintf(&b, "\nSIGKILLs %d, fault windows %d of %d kinds, acknowledged grants %s, bad runs %d\n",
		t.kills, t.windows, t.kinds, drop.Number(t.acked), t.bad)
	for _, point := range sortedPoints(t.points) {
		fmt.Fprintf(&b, "%s %d  ", point, t.points[point])
	}
	b.WriteString("\n")
	if missing := unpassed(t); len(missing) > 0 {
		fmt.Fprintf(&b, "crash points that killed nothing: %s\n", strings.Join(missing, " "))
	}
	if len(notCovered) > 0 {
		fmt.Fprintf(&b, "NOT COVERED: %s\n", strings.Join(notCovered, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// unpassed are the crash points nobody was killed at.
func unpassed(t totals) (missing []string) {
	for _, p := range faults.Points() {
		if t.points[string(p)] == 0 {
			missing = append(missing, string(p))
		}
	}
	return missing
}

// figures are the columns of some runs.
func figures(records []Record) string {
	var sum Record // Slowest is that of all
	var unrest, kills int
	var grants, rests []float64
	for _, r := range records {
		sum.Acked += r.Acked
		sum.Lost += r.Lost
		sum.Doubled += r.Doubled
		sum.Over += r.Over
		sum.Wrong += r.Wrong
		unrest += len(r.Unrest)
		if r.Stopped != "" {
			unrest++
		}
		kills += r.killed()
		sum.Asked += r.Asked
		sum.Prompt += r.Prompt
		sum.Slowest = max(sum.Slowest, r.Slowest)
		if r.Grant >= 0 {
			grants = append(grants, r.Grant)
		}
		rests = append(rests, r.Rest)
	}
	return fmt.Sprintf("%d\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%.1f s\t", len(records), kills, drop.Number(sum.Acked),
		sum.Lost, sum.Doubled, sum.Over, sum.Wrong, unrest, middleAndMost(grants), middleAndMost(rests), percent(sum.Prompt, sum.Asked), sum.Slowest)
}

// percent rounds down: 99.9 % is not all.
func percent(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	const tenths = 1000
	return fmt.Sprintf("%d.%d %%", part*tenths/whole/10, part*tenths/whole%10)
}

// middleAndMost returns two columns.
func middleAndMost(seconds []float64) string {
	if len(seconds) == 0 {
		return "-\t-"
	}
	slices.Sort(seconds)
	return fmt.Sprintf("%.1f s\t%.1f s", seconds[(len(seconds)-1)/2], seconds[len(seconds)-1])
}
