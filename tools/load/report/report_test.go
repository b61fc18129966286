package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/plotter"

	"github.com/seonchak/seonchak/tools/load/compare"
	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/memory"
	"github.com/seonchak/seonchak/tools/load/setup"
)

// folder is one of measurements that are being made up.
type folder struct {
	t   *testing.T
	dir string
}

var here = setup.Setup{
	Time: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC), Machine: setup.Machine{Cores: 2, Model: "ACME", Memory: 8 << 30, OS: "Acme Linux 9", Kernel: "6.1"},
	Versions: map[string]string{"commit": "abc", "redis": "7.0"},
}

func (f folder) put(name string, value any) {
	f.t.Helper()
	content, err := json.Marshal(value)
	require.NoError(f.t, err)
	f.write(name, string(content))
}

func (f folder) write(name, content string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600))
}

func (f folder) report() string {
	f.t.Helper()
	m, err := Read(f.dir)
	require.NoError(f.t, err)
	to := f.t.TempDir()
	require.NoError(f.t, m.Write(to))
	content, err := os.ReadFile(filepath.Join(to, "load-report.md"))
	require.NoError(f.t, err)
	for _, file := range []string{"latency.svg", "callers.svg", "drain.svg", "memory.svg", "cost.svg"} {
		_, missing := os.Stat(filepath.Join(to, "load-report", file))
		require.Equal(f.t, strings.Contains(string(content), "load-report/"+file), missing == nil, file)
	}
	return string(content)
}

func onFloor(name string, row compare.Row) compare.Row {
	row.Floor = name
	return row
}

// ratio is a row of five rounds, with rates from 1,000 to 3,000 and a p99 from 1 to 5 ms.
func ratio(path string, share, median, least, most float64) compare.Row {
	row := compare.Row{
		Path: path, Floor: "floor", Share: share, Offered: 10_000 * share, Rate: 1234.4, FloorRate: 2000, P50: 1, P99: 2, FloorP99: 1,
		Judged: 4321, Ratio: compare.Spread{Median: median, Min: least, Max: most},
	}
	for i := range int64(5) {
		row.Rounds = append(row.Rounds, compare.Round{
			Right: 1000 + 500*i, Took: time.Second, Server: time.Duration(1000+500*i) * 50 * time.Microsecond,
			P50: time.Millisecond, P99: time.Duration(i+1) * time.Millisecond,
		})
	}
	row.FloorRounds = row.Rounds
	return row
}

func TestReport(t *testing.T) {
	t.Parallel()
	f := folder{t, t.TempDir()}
	f.put("refusal.json", Comparison{here, []compare.Row{ratio("refusal", 0, 0.9, 0.8, 0.95)}})
	f.put("refusal-jwt.json", Comparison{here, []compare.Row{ratio("refusal", 0, 0.6, 0.5, 0.7)}})
	f.put("many-campaigns.json", Comparison{here, []compare.Row{ratio(compare.Many, 0, 0.5, 0.4, 0.6)}})
	f.write("refusal.command", "bin/load compare --paths refusal\ncommit abc\n")
	f.write("claim.command", "go test\ncommit abc\n")
	f.put("latency.json", Comparison{here, []compare.Row{onFloor("", ratio("grant", 0, 0, 0, 0)), onFloor(floor.Writer, ratio("latency 50 %", 0.5, 2.5, 2, 4)), onFloor(floor.Own, ratio("latency 50 %", 0.5, 3.5, 2, 4))}})
	f.write("claim.txt", "goos: linux\nBenchmarkClaim-2   3   0 ns/op   10 coalesced/s   6.0 x-best-each\nBenchmarkClaim-2   3   0 ns/op   10 coalesced/s   4.0 x-best-each\nPASS\n")

	text := f.report()
	for _, line := range []string{
		"| refusal after sold-out (non-member), `dev` | bare gin | ≥ 0.85 | 0.9 | 0.8..0.95 | 5 | yes |",
		"| refusal after sold-out (non-member), `jwt` | gin + verification | ≥ 0.85 | 0.6 | 0.5..0.7 | 5 | **no** |",
		"| p99 of `accepted` at half of the maximum rate, consumer paused | p99 of kafka-go's own producer alone | ≤ 3× | 2.5× | 2..4 | 5 | yes |",
		"| p99 of `accepted` at half of the maximum rate, consumer paused | p99 of the api-server's producer alone | ≤ 3× | 3.5× | 2..4 | 5 | **no** |",
		"| claim call alone, 512 callers | one EVALSHA a call, as many connections as serve it best | ≥ 5× | 5× | 4..6 | 2 | too few rounds |",
		"| api-server memory, idle |  | ≤ 60 MB | not measured | | | |",
		"- The target: api-server memory, idle.",
		"- The curve: Throughput against callers.",
		"- The backlog:", "- The cost of a claim beyond a million claims.",
		"- A network: its latency, its losses, TLS.",
		"| machine | 2 cores of ACME, 8 GiB, Acme Linux 9, kernel 6.1 |", "| commit | abc |",
		"bin/load compare --paths refusal\n", "| refusal | refusal | floor | 5 | 1,234 | 2,000 | 0.9 (0.8..0.95) | 2.0 | 1.0 |", "4,321",
		"| latency | grant |  | 5 | 2,000 (1,000..3,000) |  |  | 2.0 |  |",
		"- p99 of `accepted` at half of the maximum rate, consumer paused: [limits.md#p99](limits.md#p99)\n",
		"- What an apply costs while more and more campaigns are open.", "rm -r bin/report", "```\neval \"$(scripts/services.sh env)\"\n",
	} {
		require.Contains(t, text, line)
	}
	require.Equal(t, 1, strings.Count(text, "(limits.md"), "of what is not met, and has a reason; many campaigns are met")

	moments := []compare.Moment{{Share: 0}, {Share: 1, Promised: time.Second, Issued: 2 * time.Second}}
	drain := compare.Row{Path: "drain", Drain: &compare.Spread{Median: 3.5, Min: 1, Max: 4}, Rounds: []compare.Round{{Course: moments}}}
	f.put("drain.json", Comparison{here, []compare.Row{drain}})
	f.put("curve.json", Comparison{here, []compare.Row{onFloor(floor.Own, ratio("latency 10 %", 0.1, 1, 1, 1)), onFloor(floor.Own, ratio("latency 50 %", 0.5, 1, 1, 1))}})
	f.put("callers-4.json", Comparison{here, []compare.Row{ratio("grant", 0, 1, 1, 1)}})
	once := ratio("grant", 0, 1, 1, 1)
	once.Rounds, once.FloorRounds = once.Rounds[:4], once.FloorRounds[:4]
	f.put("callers-16.json", Comparison{here, []compare.Row{once}})
	f.put("open-1000.json", Comparison{here, []compare.Row{ratio(compare.Many, 0, 0.4, 0.3, 0.5)}})
	f.put("open-1.json", Comparison{here, []compare.Row{ratio(compare.Many, 0, 0.41, 0.3, 0.5)}})
	few := ratio(compare.Backlog, 0, 0.65, 0.6, 0.8)
	for i := range few.Rounds {
		few.Rounds[i].Right, few.Rounds[i].Drained = 100_000, &compare.Drained{Events: 100_000, Warm: 1, Highest: 9}
	}
	f.put("issue-kafka.json", Comparison{here, []compare.Row{few}})
	f.put("backlog.json", Comparison{here, []compare.Row{{
		Path: compare.Backlog, Floor: "mysql", Judged: 1_000_000, FloorRounds: []compare.Round{{Right: 1_000_000, Took: 20 * time.Second}},
		Ratio: compare.Spread{Median: 0.4, Min: 0.4, Max: 0.4},
		Rounds: []compare.Round{{Right: 1_000_000, Took: 50 * time.Second, Drained: &compare.Drained{
			Events: 1_000_001, LastRow: 50 * time.Second, Empty: 51 * time.Second, Ready: 25e6, Warm: 40e6, Highest: 42e6, End: 39e6,
		}}},
	}}})
	full := here
	full.Settings = map[string]string{"connections": "10000", "claims": "999999"}
	f.put("memory.json", Memory{full, memory.Report{
		Figures: []memory.Figure{{Name: memory.Idle, Value: 30}, {Name: memory.Applying, Value: 300}, {Name: memory.Floor, Value: 280}, {Name: memory.Settled, Value: 1}},
		Curve: []memory.Point{
			{Claims: 10, Pending: 3000, Settled: 2000, Cost: 7 * time.Microsecond},
			{Claims: 20, Pending: 6000, Settled: 4000, Cost: 8500},
			{Claims: 30, Cost: 9000},
		},
		Answers: map[string]int{"accepted": 1000, "issuance_unavailable": 150, "overloaded": 100},
	}})
	text = f.report()
	for _, line := range []string{
		"| last accept → last row, 10,000 coupons |  | ≤ 3 s | 3.5 s | 1..4 | 1 | too few rounds |",
		"| api-server memory, idle |  | ≤ 60 MB | 30 MB | 30..30 | 1 | yes |",
		"10,000 connections applying (accepted 80.0 %, issued 0.0 %, pending 0.0 % of the answers) | bare gin, which answers at once with about as many bytes, holds 280 MB | ≤ 250 MB | 300 MB | 300..300 | 1 | **no** |",
		"accepted 1,000, issuance_unavailable 150, overloaded 100.\n", "- api-server memory, 10,000 connections applying (accepted 80.0 %, issued 0.0 %, pending 0.0 % of the answers): [limits.md#connections]",
		"\n|---|---|---|---|\n| 10 | 7.00 | 0 | 0 |\n| 20 | 8.50 | 0 | 0 |\n| 30 | 9.00 | 0 | 0 |\n",
		"| backlog | 1,000,001 | 20,000 | 50,000 | 0.40 | 50.0 | 51.0 | 25 | 40 | 42 | 39 |", "All 1,004,321 rows were compared",
		"| issue-kafka | 100,000 | 100,000 |",
		"| `issue()` end to end from Kafka to committed rows, 100,000 events | plain multi-row INSERT, one connection | ≥ 0.7 | 0.65 | 0.6..0.8 | 5 | **no** |",
		"| `issue()` end to end from Kafka to committed rows, 1,000,000 events | plain multi-row INSERT, one connection | ≥ 0.7 | 0.4 | 0.4..0.4 | 1 | too few rounds |",
		"| `issue()` alone, without Kafka, 500 a batch | plain multi-row INSERT | ≥ 0.7 | not measured",
		"drains a backlog, of what it held after 100,000 rows |  | ≤ 2× | 1.05× | 1.05..1.05 | 1 | yes |",
		"| callers-16 | grant | floor | **4, too few** | 1,234 |", "| callers-4 | grant | floor | 5 | 1,234 |",
		"| grant, 1 campaign open, one wanted | 5 | 2,000 (1,000..3,000) | 2,000 | 0.41 (0.3..0.5) | 0.0500 (0.0500..0.0500) | 0.0000 |\n" +
			"| grant, 1,000 campaigns open, one wanted | 5 |",
		"settled claim, 1 M claims |  | ≤ 250 B | not measured", // with fewer claims it is another figure
		"- Enough rounds of: claim call alone, 512 callers; there are 2 of 5.",
	} {
		require.Contains(t, text, line)
	}
	require.NotContains(t, text, "The curve:")
	require.NotContains(t, text, "The backlog:")
	require.NotContains(t, text, "more and more campaigns")
	require.NotContains(t, text, "| backlog | backlog |", "it is in no table of answers")

	f.put("claims.json", Memory{full, memory.Report{Curve: []memory.Point{
		{Claims: 100_000, Cost: 7 * time.Microsecond},
		{Claims: 1_000_000, Cost: 8 * time.Microsecond, Forks: 2, Fork: 30 * time.Millisecond},
		{Claims: 2_000_000, Cost: 9 * time.Microsecond, Forks: 1, Fork: 90 * time.Millisecond},
		{Claims: 3_000_000, Cost: 19 * time.Microsecond, Forks: 1, Fork: 20 * time.Millisecond},
	}}})
	text = f.report()
	require.Contains(t, text, "| 100,000 | 7.00 | 0 | 0 |\n| 1,000,000 | 8.00 | 2 | 30 |\n| 2,000,000 | 9.00 | 1 | 90 |\n| 3,000,000 | 19.00 | 1 | 20 |\n")
	require.NotContains(t, text, "beyond a million claims")
}

// TestATargetNeedsRounds has a ratio of too few rounds on either side of its bound, and one of just enough.
func TestATargetNeedsRounds(t *testing.T) {
	t.Parallel()
	of := func(median float64, rounds int) target {
		return target{bound: 1, found: &found{compare.Spread{Median: median}, rounds}}
	}
	require.Equal(t, "too few rounds", of(2, 4).met())
	require.Equal(t, "too few rounds", of(0, 4).met())
	require.Equal(t, "yes", of(1, 5).met())
	require.Equal(t, "**no**", of(0.9, 5).met())
	once := of(2, 1)
	once.once, once.most = true, true
	require.Equal(t, "**no**", once.met())
}

// TestTheLatencyCurveIsDrawnOverWhatWasOffered has a rate beyond which no more is accepted.
func TestTheLatencyCurveIsDrawnOverWhatWasOffered(t *testing.T) {
	t.Parallel()
	m := &Measurements{comparisons: map[string]Comparison{"curve": {Rows: []compare.Row{
		onFloor(floor.Own, ratio("latency 50 %", 0.5, 1, 1, 1)), onFloor(floor.Writer, ratio("latency 50 %", 0.5, 1, 1, 1)),
		onFloor(floor.Own, ratio("latency 100 %", 1, 1, 1, 1)),
	}}}}
	tail := m.latencies().lines[1]
	require.Equal(t, plotter.XYs{{X: 5_000, Y: 3}, {X: 10_000, Y: 3}}, tail.points)
	require.Equal(t, plotter.YErrors{{Low: 2, High: 2}, {Low: 2, High: 2}}, tail.errors)
}

func TestMeasurementsThatAreNoOneReport(t *testing.T) {
	t.Parallel()
	f := folder{t, t.TempDir()}
	_, err := Read(f.dir)
	require.ErrorContains(t, err, "no measurement is in")
	f.put("refusal.json", Comparison{here, nil})
	other := here
	other.Versions = map[string]string{"commit": "def", "redis": "7.0"}
	f.put("replay.json", Comparison{other, nil})
	_, err = Read(f.dir)
	require.ErrorContains(t, err, "measured with commit abc and def")
	other = here
	other.Machine.Cores = 64
	f.put("replay.json", Comparison{other, nil})
	_, err = Read(f.dir)
	require.ErrorContains(t, err, "two machines")
	f.put("replay.json", Comparison{here, nil})
	_, err = Read(f.dir)
	require.NoError(t, err)
	benchmark := "BenchmarkClaim-2 3 1 ns/op\n"
	f.write("claim.txt", benchmark)
	_, err = Read(f.dir)
	require.ErrorContains(t, err, `claim.txt is of commit "", others are of abc`)
	f.write("claim.command", "go test\ncommit def\n")
	_, err = Read(f.dir)
	require.ErrorContains(t, err, `claim.txt is of commit "def", others are of abc`)
	f.write("claim.command", "go test\ncommit abc\n")
	_, err = Read(f.dir)
	require.NoError(t, err)
	f.write("claim.txt", "FAIL\n")
	_, err = Read(f.dir)
	require.ErrorContains(t, err, "no benchmark")
}
