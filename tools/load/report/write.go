package report

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/memory"
)

// notMeasured is what no measurement of this kind can tell.
var notMeasured = []string{
	"Anything but this one machine: client, programs and stores share its cores and its loopback. A ratio carries over better than a rate.",
	"A network: its latency, its losses, TLS.",
	"Kafka with replicas: there is one broker, so acks of all are the acks of one. Redis with a replica or as a cluster, MySQL with a replica.",
	"The moment of a COMMIT: a row counts as made at the time that stands in it, which is some milliseconds earlier.",
	"Power loss and slow disks: what the stores flush, and when, is their configuration here.",
	"Hours: a round lasts seconds. Growth over days, compaction, and retention are not in it.",
	"Tokens of other kinds than HS256 with one secret: keys from a JWKS URL cost more to verify.",
}

// Write writes load-report.md and, in load-report/, its charts.
func (m *Measurements) Write(dir string) error {
	charts, err := m.draw(filepath.Join(dir, "load-report"))
	if err != nil {
		return err
	}
	var text bytes.Buffer
	m.write(&text, charts)
	return os.WriteFile(filepath.Join(dir, "load-report.md"), text.Bytes(), 0o644) //nolint:gosec // a document, for everybody to read
}

func (m *Measurements) write(w io.Writer, charts []chart) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) } // to memory
	say("# Load report\n\nWritten by `make report`; do not edit. How to read it: a ratio is of two things measured by turns in one run, the")
	say("median of the rounds with the lowest and the highest. Only right answers count, and the promises of grants and drops were compared with the rows.\n")
	m.writeSetup(say)
	missing := m.writeTargets(say)
	m.writeRates(say)
	say("\n## Curves\n")
	for _, c := range charts {
		if c.drawn {
			say("![%s](load-report/%s)\n", c.title, c.file)
		} else {
			missing = append(missing, "The curve: "+c.title+".")
		}
	}
	say("## What is not measured\n")
	for _, text := range slices.Concat(missing, notMeasured) {
		say("- %s", text)
	}
	say("\n## Commands\n\nOn a machine that does nothing else:\n\n```")
	for _, command := range m.commands {
		say("%s", command)
	}
	say("```")
}

func (m *Measurements) writeSetup(say func(string, ...any)) {
	const giga = 1 << 30
	s := m.setup
	say("| | |\n|---|---|")
	say("| date | %s |", s.Time.Format("2006-01-02 15:04 UTC"))
	say("| machine | %d cores of %s, %.0f GiB, kernel %s |", s.Machine.Cores, s.Machine.Model, float64(s.Machine.Memory)/giga, s.Machine.Kernel)
	for _, name := range slices.Sorted(maps.Keys(s.Versions)) {
		say("| %s | %s |", name, s.Versions[name])
	}
}

// fewestRounds is how many a ratio needs.
const fewestRounds = 5

// writeTargets returns what there is no measurement of.
func (m *Measurements) writeTargets(say func(string, ...any)) (missing []string) {
	say("\n## Targets\n\n| path | floor | target | measured | lowest..highest | rounds | met |\n|---|---|---|---|---|---|---|")
	for _, t := range m.targets() {
		if t.found == nil {
			say("| %s | %s | %s | not measured | | | |", t.what, t.floor, t.wanted())
			missing = append(missing, "The target: "+t.what+".")
			continue
		}
		if t.floor != "" && t.found.rounds < fewestRounds {
			missing = append(missing, fmt.Sprintf("Enough rounds of: %s; there are %d of %d.", t.what, t.found.rounds, fewestRounds))
		}
		met := "yes"
		if !t.met() {
			met = "**no**"
		}
		say("| %s | %s | %s | %.3g%s | %.3g..%.3g | %d | %s |", t.what, t.floor, t.wanted(), t.found.Median, t.unit,
			t.found.Min, t.found.Max, t.found.rounds, met)
	}
	return missing
}

func (m *Measurements) writeRates(say func(string, ...any)) {
	say("\n## Rates\n\nRight answers a second, processor time for 1,000 of them, and rows that were compared with what was told.\n")
	say("| measurement | path | floor | per s | floor | p99 ms | floor | server CPU s | floor | client CPU s | rows judged |")
	say("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, file := range slices.Sorted(maps.Keys(m.comparisons)) {
		for _, r := range m.comparisons[file].Rows {
			say("| %s | %s | %s | %s | %s | %.1f | %.1f | %.4f | %.4f | %.4f | %s |", file, r.Path, r.Floor, whole(r.Rate), whole(r.FloorRate),
				r.P99, r.FloorP99, r.ServerCPU, r.FloorCPU, r.ClientCPU, drop.Number(r.Judged))
		}
	}
	if m.memory != nil {
		say("\nAnswers to the connections whose api-server's memory was measured: %s.", answers(m.memory.Report))
		for _, f := range m.memory.Figures {
			if f.Name == memory.Floor {
				say("Bare gin, which answers each apply at once with about as many bytes, held %.0f MB under as many.", f.Value)
			}
		}
		m.writeCost(say)
	}
}

// writeCost says whether a claim costs Redis more when there are many.
func (m *Measurements) writeCost(say func(string, ...any)) {
	curve := m.memory.Curve
	if len(curve) < 2 || curve[0].Cost == 0 {
		return
	}
	last := len(curve) - 1
	say("\nA claim of a batch, not yet settled, cost Redis %.2f µs of processor time up to the first %s claims, and %.2f µs from %s to %s.",
		micro(curve[0].Cost), drop.Number(int64(curve[0].Claims)),
		micro(curve[last].Cost), drop.Number(int64(curve[last-1].Claims)), drop.Number(int64(curve[last].Claims)))
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func whole(rate float64) string { return drop.Number(int64(rate + 0.5)) }

func answers(r memory.Report) string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(r.Answers)) {
		all = append(all, fmt.Sprintf("%s %s", kind, drop.Number(int64(r.Answers[kind]))))
	}
	return strings.Join(all, ", ")
}
