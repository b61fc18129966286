package report

import (
	"fmt"
	"strconv"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/compare"
	"github.com/seonchak/seonchak/tools/load/floor"
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
	once  bool   // one round says all: nothing disturbs it
	why   string // the document that says what bounds it, beside the report; "" for none
}

// found is what was measured for a target.
type found struct {
	compare.Spread
	rounds int
}

// fewestRounds is how many a target needs that others on the machine can disturb.
const fewestRounds = 5

// decided reports whether there were enough rounds to say whether the target is met.
func (t target) decided() bool { return t.once || t.found.rounds >= fewestRounds }

// met says whether the median is as it should be.
func (t target) met() string {
	switch {
	case !t.decided():
		return "too few rounds"
	case t.missed():
		return "**no**"
	}
	return "yes"
}

// missed reports whether there is enough to say that the target is not met.
func (t target) missed() bool {
	return t.decided() && (t.most && t.found.Median > t.bound || !t.most && t.found.Median < t.bound)
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
			target{what: path.what + ", `dev`", floor: "bare gin", bound: path.bound, found: m.ratio(path.name, path.name)},
			target{what: path.what + ", `jwt`", floor: "gin + verification", bound: path.bound, found: m.ratio(path.name+"-jwt", path.name)})
	}
	drain := target{what: "last accept → last row, 10,000 coupons", bound: 3, most: true, unit: " s"}
	if row := m.row(compare.Drain, of(compare.Drain)); row != nil && row.Drain != nil {
		drain.found = &found{*row.Drain, len(row.Rounds)}
	}
	return append(all,
		target{
			what: "grant to `accepted`, 1,000 campaigns open and 50 of them wanted", floor: "bare gin", bound: 0.40,
			found: m.ratio(compare.Many, compare.Many), why: "limits.md#campaigns",
		},
		target{
			what: "claim call alone, 512 callers", floor: "one EVALSHA a call, as many connections as serve it best", bound: 5, unit: "×",
			found: m.benchmark("claim", "x-best-each"),
		},
		m.endToEnd(endToEndFile),
		m.endToEnd(compare.Backlog),
		target{
			what: "`issue()` alone, without Kafka, 500 a batch", floor: plainInsert, bound: 0.70,
			found: m.benchmark("issue", "ratio"),
		},
		drain,
		m.p99("p99 of kafka-go's own producer alone", floor.Writer),
		m.p99("p99 of the api-server's producer alone", floor.Own),
		m.holds("api-server memory, idle", 60, " MB", m.figure(memory.Idle, "connections", 1)),
		m.applying(),
		m.flat(),
		m.holds("Redis memory per settled claim, 1 M claims", 250, " B", m.figure(memory.Settled, "claims", 1_000_000)),
		m.holds("Redis memory per pending claim, 1 M claims", 380, " B", m.figure(memory.Pending, "claims", 1_000_000)),
	)
}

const plainInsert = "plain multi-row INSERT"

// endToEnd is how fast the rows of a backlog were made, against an INSERT of as many.
func (m *Measurements) endToEnd(file string) target {
	t := target{
		what: "`issue()` end to end from Kafka to committed rows", floor: plainInsert + ", one connection", bound: 0.70,
		found: m.ratio(file, compare.Backlog), why: "limits.md#rows",
	}
	events := "many"
	if t.found != nil {
		events = drop.Number(m.row(file, of(compare.Backlog)).Rounds[0].Right)
	}
	t.what += ", " + events + " events"
	return t
}

// warmRows is after how many rows a consumer holds what it needs.
const warmRows = 100_000

// flat says whether a consumer holds more the more it has written.
func (m *Measurements) flat() target {
	t := m.holds("consumer memory at the most while it drains a backlog, of what it held after 100,000 rows", 2, "×", nil)
	row := m.row(compare.Backlog, of(compare.Backlog))
	if row == nil || !drained(*row) || row.Rounds[0].Drained.Events <= warmRows {
		return t
	}
	t.found = &found{spread(row.Rounds, func(r compare.Round) float64 { return float64(r.Drained.Highest) / float64(r.Drained.Warm) }), len(row.Rounds)}
	return t
}

// p99 is how the p99 at half of the maximum rate compares with that of a floor.
func (m *Measurements) p99(what, floor string) target {
	t := target{
		what: "p99 of `accepted` at half of the maximum rate, consumer paused", floor: what, bound: 3, most: true, unit: "×", why: "limits.md#p99",
	}
	if row := m.row(compare.Latency, func(r compare.Row) bool { return r.Share == halfOfMaximum && r.Floor == floor }); row != nil {
		t.found = &found{row.Ratio, len(row.Rounds)}
	}
	return t
}

// holds is a target of memory.
func (m *Measurements) holds(what string, bound float64, unit string, found *found) target {
	return target{what: what, bound: bound, most: true, unit: unit, found: found, once: true}
}

// applying says how the applies ended, too: a server that turns everybody away holds little. What bare gin holds is no bound,
// but what so many connections cost at the least.
func (m *Measurements) applying() target {
	t := m.holds("api-server memory, 10,000 connections applying", 250, " MB", m.figure(memory.Applying, "connections", 10_000))
	if t.found != nil {
		t.what += " (" + m.memory.Shares() + ")"
		t.why = "limits.md#connections"
	}
	if gin := m.figure(memory.Floor, "connections", 10_000); gin != nil {
		t.floor = fmt.Sprintf("bare gin, which answers at once with about as many bytes, holds %.0f MB", gin.Median)
	}
	return t
}

func (m *Measurements) ratio(file, path string) *found {
	row := m.row(file, of(path))
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
