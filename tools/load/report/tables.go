package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/compare"
	"github.com/seonchak/seonchak/tools/load/memory"
)

// writeTargets returns what there is no measurement of.
func (m *Measurements) writeTargets(say func(string, ...any)) (missing []string) {
	say("\n## Targets\n\n| path | floor | target | measured | lowest..highest | rounds | met |\n|---|---|---|---|---|---|---|")
	var reasons []string
	for _, t := range m.targets() {
		if t.found == nil {
			say("| %s | %s | %s | not measured | | | |", t.what, t.floor, t.wanted())
			missing = append(missing, "The target: "+t.what+".")
			continue
		}
		if !t.decided() {
			missing = append(missing, fmt.Sprintf("Enough rounds of: %s; there are %d of %d.", t.what, t.found.rounds, fewestRounds))
		}
		if t.missed() && t.why != "" {
			reasons = append(reasons, fmt.Sprintf("- %s: [%s](%s)", t.what, t.why, t.why))
		}
		say("| %s | %s | %s | %.3g%s | %.3g..%.3g | %d | %s |", t.what, t.floor, t.wanted(), t.found.Median, t.unit,
			t.found.Min, t.found.Max, t.found.rounds, t.met())
	}
	if len(reasons) > 0 {
		say("\nWhy not:\n\n%s", strings.Join(slices.Compact(reasons), "\n"))
	}
	return missing
}

func (m *Measurements) writeRates(say func(string, ...any)) {
	say("\n## Rates\n\nRight answers a second, processor time for 1,000 of them, and rows that were compared with what was told: medians of the")
	say("rounds, the lowest and the highest in brackets. The ratio is of the rates, that of a latency of the p99.\n")
	say("| measurement | path | floor | rounds | per s | floor | ratio | p99 ms | floor | server CPU s | floor | client CPU s | rows judged |")
	say("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, file := range slices.Sorted(maps.Keys(m.comparisons)) {
		for _, r := range m.comparisons[file].Rows {
			if drained(r) {
				continue // its answers are rows
			}
			rate, floorRate, ratio, floorP99, floorCPU := spreadOf(r.Rounds, compare.Round.Rate, whole), "", "", "", ""
			if r.Floor != "" {
				rate, floorRate, ratio = whole(r.Rate), whole(r.FloorRate), bracketed(r.Ratio, short)
				floorP99, floorCPU = fmt.Sprintf("%.1f", r.FloorP99), fmt.Sprintf("%.4f", r.FloorCPU)
			}
			say("| %s | %s | %s | %s | %s | %s | %s | %.1f | %s | %.4f | %s | %.4f | %s |", file, r.Path, r.Floor, rounds(r), rate, floorRate, ratio,
				r.P99, floorP99, r.ServerCPU, floorCPU, r.ClientCPU, drop.Number(r.Judged))
		}
	}
	if m.memory != nil {
		say("\nAnswers to the connections whose api-server's memory was measured: %s.", answers(m.memory.Report))
		say("Who is told `overloaded` or `issuance_unavailable` is to come again: the server had no room, or a store did not answer in time.")
	}
}

// writeOpen returns what there is no measurement of.
func (m *Measurements) writeOpen(say func(string, ...any)) (missing []string) {
	all := m.numbered(openFile, compare.Many)
	if len(all) == 0 {
		return []string{"What an apply costs while more and more campaigns are open."}
	}
	say("\n## Open campaigns\n\nAll users apply for one campaign while others are open, too, no consumer runs: did an apply cost more with each of them, the")
	say("ratio would fall and the processor time of 1,000 grants would rise.\n")
	say("| path | rounds | grants/s | bare gin | ratio | server CPU s | gin's |\n|---|---|---|---|---|---|---|")
	for _, one := range all {
		r := one.row
		say("| grant, %s open, one wanted | %s | %s | %s | %s | %s | %.4f |", count(one.number, "campaign"), rounds(*r), spreadOf(r.Rounds, compare.Round.Rate, whole),
			whole(r.FloorRate), bracketed(r.Ratio, short), spreadOf(r.Rounds, compare.Round.ServerCPU, fine), r.FloorCPU)
	}
	return nil
}

// drained reports whether a row is of a consumer that found a backlog.
func drained(r compare.Row) bool { return len(r.Rounds) > 0 && r.Rounds[0].Drained != nil }

// writeBacklog returns what there is no measurement of.
func (m *Measurements) writeBacklog(say func(string, ...any)) (missing []string) {
	const mega = 1e6
	var lines []string
	judged := int64(0)
	for _, file := range slices.Sorted(maps.Keys(m.comparisons)) {
		for _, row := range m.comparisons[file].Rows {
			if !drained(row) || len(row.FloorRounds) < len(row.Rounds) {
				continue
			}
			judged += row.Judged
			for i, r := range row.Rounds {
				d, floor := r.Drained, row.FloorRounds[i].Rate()
				lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %.2f | %.1f | %.1f | %.0f | %.0f | %.0f | %.0f |", file, drop.Number(d.Events), whole(r.Rate()),
					whole(floor), r.Rate()/floor, d.LastRow.Seconds(), d.Empty.Seconds(), float64(d.Ready)/mega, float64(d.Warm)/mega, float64(d.Highest)/mega,
					float64(d.End)/mega))
			}
		}
	}
	if len(lines) == 0 {
		return []string{"The backlog: how fast a consumer writes the rows of what waited for it, and what it holds meanwhile."}
	}
	say("\n## Backlog\n\nPromises that waited for a consumer, from its start to the last row, a round in each line; the floor is a multi-row INSERT of")
	say("as many rows. All %s rows were compared with what was told.\n", drop.Number(judged))
	say("| measurement | events | rows/s | floor, rows/s | ratio | last row, s | nothing left, s | consumer ready, MB | after %s rows | highest | at the end |",
		drop.Number(warmRows))
	say("|---|---|---|---|---|---|---|---|---|---|---|\n%s", strings.Join(lines, "\n"))
	return nil
}

// writeCost says whether a claim costs Redis more when there are many, and returns what there is no measurement of.
func (m *Measurements) writeCost(say func(string, ...any)) (missing []string) {
	if m.claims == nil {
		missing = []string{"The cost of a claim beyond a million claims."}
	}
	longest := cmp.Or(m.claims, m.memory)
	if longest == nil {
		return missing
	}
	say("\n## Cost of a claim\n\nProcessor time of Redis for a claim of a batch, none of them settled, while its tables grow and it writes its append-only")
	say("file anew: of the claims since the line before. A fork for that holds everybody up.\n")
	say("| claims so far | µs a claim | forks | the last, ms |\n|---|---|---|---|")
	for _, p := range longest.Curve {
		say("| %s | %.2f | %d | %.0f |", drop.Number(int64(p.Claims)), micro(p.Cost), p.Forks, p.Fork.Seconds()*1000)
	}
	return missing
}

// rounds says how many there were, and when they are too few for a median.
func rounds(r compare.Row) string {
	if n := len(r.Rounds); n < fewestRounds {
		return fmt.Sprintf("**%d, too few**", n)
	}
	return fmt.Sprint(len(r.Rounds))
}

// spreadOf returns what rounds came to as text.
func spreadOf(rounds []compare.Round, of func(compare.Round) float64, text func(float64) string) string {
	return bracketed(spread(rounds, of), text)
}

func spread(rounds []compare.Round, of func(compare.Round) float64) compare.Spread {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	return compare.SpreadOf(values)
}

func bracketed(s compare.Spread, text func(float64) string) string {
	return fmt.Sprintf("%s (%s..%s)", text(s.Median), text(s.Min), text(s.Max))
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func whole(rate float64) string { return drop.Number(int64(rate + 0.5)) }

func short(value float64) string { return fmt.Sprintf("%.3g", value) }

func fine(value float64) string { return fmt.Sprintf("%.4f", value) }

func count(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return drop.Number(int64(n)) + " " + of
}

func answers(r memory.Report) string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(r.Answers)) {
		all = append(all, fmt.Sprintf("%s %s", kind, drop.Number(int64(r.Answers[kind]))))
	}
	return strings.Join(all, ", ")
}
