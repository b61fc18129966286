package report

import (
	"fmt"
	"strconv"

	"github.com/seonchak/seonchak/tools/load/compare"
	"github.com/seonchak/seonchak/tools/load/memory"
)

// target is one line of the table.
type target struct {
	what  string
	floor string
	bound float64
	most  bool // the bound is the highest that is allowed, not the lowest that is wanted
	unit  string
	found *found // nil: it was not measured
}

// found is what was measured for a target.
type found struct {
	compare.Spread
	rounds int
}

// met reports whether the median is as it should be.
func (t target) met() bool {
	if t.most {
		return t.found.Median <= t.bound
	}
	return t.found.Median >= t.bound
}

func (t target) wanted() string {
	sign := "≥"
	if t.most {
		sign = "≤"
	}
	return fmt.Sprintf("%s %g%s", sign, t.bound, t.unit)
}

// halfOfMaximum is the share at which the two latencies are compared.
const halfOfMaximum = 0.5

func (m *Measurements) targets() []target {
	var all []target
	for _, path := range []struct {
		what  string
		name  string
		bound float64
	}{
		{"refusal after sold-out (non-member)", compare.Refusal, 0.85},
		{"holder's retry (replay)", compare.Replay, 0.45},
		{"grant to `accepted`, consumer paused", compare.Grant, 0.40},
		{"grant to `accepted`, consumer writing rows", compare.GrantConsumer, 0.28},
		{"99:1 drop (1,000 coupons, 100,000 users)", compare.Drop, 0.70},
	} {
		all = append(all,
			target{path.what + ", `dev`", "bare gin", path.bound, false, "", m.ratio(path.name, path.name)},
			target{path.what + ", `jwt`", "gin + verification", path.bound, false, "", m.ratio(path.name+"-jwt", path.name)})
	}
	drain := target{what: "last accept → last row, 10,000 coupons", bound: 3, most: true, unit: " s"}
	if row := m.row(compare.Drain, compare.Drain, 0); row != nil && row.Drain != nil {
		drain.found = &found{*row.Drain, len(row.Rounds)}
	}
	p99 := target{what: "p99 of `accepted` at half of the maximum rate, consumer paused", floor: "p99 of the producer alone", bound: 3, most: true, unit: "×"}
	if row := m.row(compare.Latency, compare.Latency, halfOfMaximum); row != nil {
		p99.found = &found{row.Ratio, len(row.Rounds)}
	}
	many := target{"grant to `accepted`, 1,000 campaigns open and 50 of them wanted", "bare gin", 0.40, false, "", m.ratio(compare.Many, compare.Many)}
	return append(all,
		many,
		target{"claim call alone, 512 callers", "one EVALSHA a call, as many connections as serve it best", 5, false, "×", m.benchmark("claim", "x-best-each")},
		target{"`issue()` to committed rows, 500 a batch", "plain multi-row INSERT", 0.70, false, "", m.benchmark("issue", "ratio")},
		drain, p99,
		target{"api-server memory, idle", "", 60, true, " MB", m.figure(memory.Idle, "connections", 1)},
		target{"api-server memory, 10,000 connections applying", "", 250, true, " MB", m.figure(memory.Applying, "connections", 10_000)},
		target{"Redis memory per settled claim, 1 M claims", "", 250, true, " B", m.figure(memory.Settled, "claims", 1_000_000)},
		target{"Redis memory per pending claim, 1 M claims", "", 380, true, " B", m.figure(memory.Pending, "claims", 1_000_000)},
	)
}

func (m *Measurements) ratio(file, path string) *found {
	row := m.row(file, path, 0)
	if row == nil || row.Floor == "" {
		return nil
	}
	return &found{row.Ratio, len(row.Rounds)}
}

func (m *Measurements) benchmark(file, unit string) *found {
	values := m.benchmarks[file][unit]
	if len(values) == 0 {
		return nil
	}
	return &found{compare.SpreadOf(values), len(values)}
}

// figure returns what was measured with at least so many connections or claims, as the setting says.
func (m *Measurements) figure(name, setting string, least int) *found {
	if m.memory == nil {
		return nil
	}
	if n, err := strconv.Atoi(m.memory.Setup.Settings[setting]); err != nil || n < least {
		return nil
	}
	for _, f := range m.memory.Figures {
		if f.Name == name {
			return &found{compare.SpreadOf([]float64{f.Value}), 1}
		}
	}
	return nil
}
