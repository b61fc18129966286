package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/compare"
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
	missing = append(missing, m.writeBacklog(say)...)
	missing = append(missing, m.writeCost(say)...)
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

// writeTargets returns what there is no measurement of.
func (m *Measurements) writeTargets(say func(string, ...any)) (missing []string) {
	say("\n## Targets\n\n| path | floor | target | measured | lowest..highest | rounds | met |\n|---|---|---|---|---|---|---|")
	for _, t := range m.targets() {
		if t.found == nil {
			say("| %s | %s | %s | not measured | | | |", t.what, t.floor, t.wanted())
			missing = append(missing, "The target: "+t.what+".")
			continue
		}
		if !t.decided() {
			missing = append(missing, fmt.Sprintf("Enough rounds of: %s; there are %d of %d.", t.what, t.found.rounds, fewestRounds))
		}
		say("| %s | %s | %s | %.3g%s | %.3g..%.3g | %d | %s |", t.what, t.floor, t.wanted(), t.found.Median, t.unit,
			t.found.Min, t.found.Max, t.found.rounds, t.met())
	}
	return missing
}

func (m *Measurements) writeRates(say func(string, ...any)) {
	say("\n## Rates\n\nRight answers a second, processor time for 1,000 of them, and rows that were compared with what was told.\n")
	say("| measurement | path | floor | per s | floor | p99 ms | floor | server CPU s | floor | client CPU s | rows judged |")
	say("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, file := range slices.Sorted(maps.Keys(m.comparisons)) {
		for _, r := range m.comparisons[file].Rows {
			if r.Path == compare.Backlog {
				continue // its answers are rows
			}
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
	}
}

// writeBacklog returns what there is no measurement of.
func (m *Measurements) writeBacklog(say func(string, ...any)) (missing []string) {
	row := m.row(compare.Backlog, of(compare.Backlog))
	if row == nil {
		return []string{"The backlog: how fast a consumer writes the rows of what waited for it, and what it holds meanwhile."}
	}
	const mega = 1e6
	say("\n## Backlog\n\nPromises that waited for a consumer, from its start to the last row; the floor is a multi-row INSERT of as many rows.")
	say("All %s rows were compared with what was told.\n", drop.Number(row.Judged))
	say("| events | rows/s | floor, rows/s | ratio | last row, s | nothing left, s | consumer ready, MB | after 100,000 rows | highest | at the end |")
	say("|---|---|---|---|---|---|---|---|---|---|")
	for i, r := range row.Rounds {
		d, floor := r.Drained, row.FloorRounds[i].Rate()
		say("| %s | %s | %s | %.2f | %.1f | %.1f | %.0f | %.0f | %.0f | %.0f |", drop.Number(d.Events), whole(r.Rate()), whole(floor), r.Rate()/floor,
			d.LastRow.Seconds(), d.Empty.Seconds(), float64(d.Ready)/mega, float64(d.Warm)/mega, float64(d.Highest)/mega, float64(d.End)/mega)
	}
	return nil
}

// writeCost says whether a claim costs Redis more when there are many, and returns what there is no measurement of.
func (m *Measurements) writeCost(say func(string, ...any)) (missing []string) {
	if m.claims == nil {
		missing = []string{"The cost of a claim beyond a million claims."}
	}
	longest := cmp.Or(m.claims, m.memory)
	if longest == nil || len(longest.Curve) < 2 {
		return missing
	}
	say("\n## Cost of a claim\n\nProcessor time of Redis for a claim of a batch, none of them settled, while its tables grow and it writes its append-only")
	say("file anew. A fork for that holds everybody up.\n\n| claims | to | µs a claim | forks | the longest, ms |\n|---|---|---|---|---|")
	for _, s := range stretches(longest.Curve) {
		say("| %s | %s | %.2f | %d | %.0f |", drop.Number(int64(s.from)), drop.Number(int64(s.to)), micro(s.cost), s.forks, s.fork.Seconds()*1000)
	}
	return missing
}

// stretch is what the claims between two points of a curve cost.
type stretch struct {
	from, to int
	cost     time.Duration
	forks    int64
	fork     time.Duration // the longest
}

// stretches are the first interval of a curve, the others up to a million claims, those beyond, and the last.
func stretches(curve []memory.Point) (all []stretch) {
	last := len(curve) - 1
	million := slices.IndexFunc(curve, func(p memory.Point) bool { return p.Claims >= 1_000_000 })
	if million < 0 {
		million = last
	}
	for _, ends := range [][2]int{{-1, 0}, {0, million}, {million, last}, {last - 1, last}} {
		if ends[0] < ends[1] {
			all = append(all, stretchOf(curve, ends[0], ends[1]))
		}
	}
	return all
}

// stretchOf adds up what lies behind the point first, -1 for the beginning, and up to the point last.
func stretchOf(curve []memory.Point, first, last int) stretch {
	s := stretch{to: curve[last].Claims}
	if first >= 0 {
		s.from = curve[first].Claims
	}
	from, cost := s.from, time.Duration(0)
	for _, p := range curve[first+1 : last+1] {
		cost += p.Cost * time.Duration(p.Claims-from)
		s.forks, s.fork, from = s.forks+p.Forks, max(s.fork, p.Fork), p.Claims
	}
	s.cost = cost / time.Duration(s.to-s.from)
	return s
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
