package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/tools/chaos/faults"
	"github.com/seonchak/seonchak/tools/drop"
)

// points are all that pkg/failpoint names.
func points(t *testing.T) (all []failpoint.Point) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "pkg", "failpoint", "failpoint.go"))
	require.NoError(t, err)
	for line := range strings.Lines(string(source)) {
		if _, value, found := strings.Cut(line, "Point = \""); found {
			all = append(all, failpoint.Point(value[:strings.IndexByte(value, '"')]))
		}
	}
	require.Greater(t, len(all), 20)
	return all
}

func TestEveryPointHasItsFault(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, points(t), faults.Points())
	var short []failpoint.Point
	for _, c := range faults.All() {
		if c.Short {
			short = append(short, c.Points...)
		}
	}
	require.ElementsMatch(t, faults.Points(), short, "the short form kills at every point")
}

func TestTheClasses(t *testing.T) {
	t.Parallel()
	names, windows, short := map[string]bool{}, 0, 0
	for _, c := range faults.All() {
		require.False(t, names[c.Name], c.Name)
		names[c.Name] = true
		require.NotNil(t, c.Fault, c.Name)
		require.Positive(t, c.Lasts, c.Name)
		if !c.Kills && !c.Planted {
			windows++
		}
		if c.Short && !c.Kills {
			short++
		}
	}
	require.GreaterOrEqual(t, windows, longKinds)
	require.GreaterOrEqual(t, short, shortWindows)
}

func TestEveryBugHasATrap(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join("..", "..", "pkg", "planted", "planted.go"))
	require.NoError(t, err)
	require.Len(t, traps, strings.Count(string(source), " Bug = "))
	for _, trap := range traps {
		require.Contains(t, string(source), `"`+string(trap.bug)+`"`)
		require.NotEmpty(t, trap.classes)
		for _, name := range trap.classes {
			_, found := faults.Find(name)
			require.True(t, found, name)
		}
	}
}

func TestChosenClasses(t *testing.T) {
	t.Parallel()
	s := suite{settings: settings{only: "^kafka ", programs: t.TempDir()}}
	chosen, notCovered, err := s.classes()
	require.NoError(t, err)
	require.Len(t, chosen, 3)
	require.Empty(t, notCovered)

	s.only = "mysql row locked (1205)" // not what it would be as a pattern
	chosen, _, err = s.classes()
	require.NoError(t, err)
	require.Len(t, chosen, 1)

	s.only, s.long = "", true
	chosen, notCovered, err = s.classes()
	require.NoError(t, err)
	require.Len(t, notCovered, 4, "no program has a clock that can be set")
	require.False(t, slices.ContainsFunc(chosen, func(c faults.Class) bool { return c.Planted }))

	s.only = "nothing of the kind"
	_, _, err = s.classes()
	require.ErrorContains(t, err, "no fault class")
}

func TestALedgerIsGoneOnWith(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger")
	l, err := openLedger(path)
	require.NoError(t, err)
	require.NoError(t, l.add(Record{Class: "a", Seed: 7, Kills: map[string]int{"C3": 2}, Acked: 10, Window: true}))
	require.NoError(t, l.close())
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(`{"class":"cut o`)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	l, err = openLedger(path)
	require.NoError(t, err)
	require.NoError(t, l.add(Record{Class: "b", Kills: map[string]int{"C3": 1, "redis": 1}, Acked: 5, Layers: []string{"verdict: lost"}}))
	require.NoError(t, l.close())
	l, err = openLedger(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.close()) })
	got := sum(l.records)
	require.Equal(t, totals{runs: 2, bad: 1, kills: 4, windows: 1, kinds: 1, acked: 15, points: map[string]int{"C3": 3, "redis": 1}}, got)
}

func TestWhatIsEnough(t *testing.T) {
	t.Parallel()
	full := totals{kills: longKills, windows: 100, kinds: longKinds, acked: longAcked, points: map[string]int{}}
	for _, p := range faults.Points() {
		full.points[string(p)] = 1
	}
	require.NoError(t, (&suite{}).verdict(full))
	require.NoError(t, (&suite{settings: settings{long: true}}).verdict(full))

	for name, change := range map[string]func(*totals){
		"SIGKILLs":            func(t *totals) { t.kills = shortKills - 1 },
		"fault windows":       func(t *totals) { t.windows = shortWindows - 1 },
		"acknowledged grants": func(t *totals) { t.acked = shortAcked - 1 },
		"killed nothing":      func(t *totals) { t.points = map[string]int{"A1": 1} },
		"something is wrong":  func(t *totals) { t.bad = 1 },
	} {
		poor := full
		change(&poor)
		require.ErrorContains(t, (&suite{}).verdict(poor), name)
	}
	require.NoError(t, (&suite{settings: settings{only: "a"}}).verdict(totals{}), "a part of it proves what it proves")
	require.Error(t, (&suite{settings: settings{only: "a"}}).verdict(totals{bad: 1}))
}

func TestARecordOfAVerdict(t *testing.T) {
	t.Parallel()
	r := Record{}
	r.add(drop.Verdict{Limit: 5, Issued: 5})
	require.True(t, r.OK())
	r.add(drop.Verdict{Lost: 1, Failed: 2, Twice: 3, Over: 4, Wrong: 5, Under: 6, Phantom: 7, Unordered: 8, Miscounted: 9, Findings: []string{"x"}})
	require.Equal(t, []int64{3, 3, 4, 26}, []int64{r.Lost, r.Doubled, r.Over, r.Wrong})
	require.Len(t, r.Unrest, 1)
	require.False(t, r.OK())
	require.Contains(t, r.Layers, "verdict: unordered")
	require.Contains(t, describe(r), "WRONG")
}

func TestWhatWasToldDuringTheFault(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }
	r := Record{Told: map[string]int64{}}
	r.told([]drop.Answer{
		{HTTP: 202, Status: coupon.StatusAccepted, Sent: at(0.9), Received: at(4)}, // before it
		{HTTP: 202, Status: coupon.StatusPending, Sent: at(1), Received: at(2)},
		{HTTP: 503, Code: coupon.CodeUnavailable, Sent: at(1.5), Received: at(2.7)},
		{Unknown: "refused", Sent: at(2), Received: at(2.1)},
		{HTTP: 202, Status: coupon.StatusAccepted, Sent: at(3), Received: at(3.1)}, // after it
	}, at(1), at(3))
	require.EqualValues(t, 3, r.Asked)
	require.EqualValues(t, 1, r.Prompt, "late, and no answer at all, are not prompt")
	require.InDelta(t, 1.2, r.Slowest, 1e-9)
	require.Equal(t, map[string]int64{"pending": 1, "issuance_unavailable": 1, "none": 1}, r.Told)
}

func TestTheLongFormAlternates(t *testing.T) {
	t.Parallel()
	var order []string
	for _, c := range alternating([]faults.Class{{Name: "kill a", Kills: true}, {Name: "x"}, {Name: "y"}, {Name: "kill b", Kills: true}, {Name: "z"}}) {
		order = append(order, c.Name)
	}
	require.Equal(t, []string{"kill a", "x", "kill b", "y", "kill a", "z"}, order)
}

func TestTheTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, writeTable(&out, []Record{
		{Class: "redis killed", Acked: 1000, Asked: 900, Prompt: 899, Slowest: 1.5, Grant: 1, Rest: 5, Window: true, Kills: map[string]int{"redis": 1}},
		{Class: "redis killed", Acked: 2000, Asked: 100, Prompt: 100, Slowest: 0.3, Grant: 3, Rest: 6, Window: true, Kills: map[string]int{"redis": 1}},
		{Class: "kill consumers", Acked: 10, Grant: -1, Rest: 9, Lost: 1, Layers: []string{"verdict: lost"}, Kills: map[string]int{"C1": 4}},
	}, []string{"clock of one consumer +1h"}))
	require.Regexp(t, `redis killed +2 +2 +3,000 +0 +0 +0 +0 +0 +1\.0 s +3\.0 s +5\.0 s +6\.0 s +99\.9 % +1\.5 s`, out.String())
	require.Regexp(t, `kill consumers +1 +4 +10 +1 +0 +0 +0 +0 +- +- +9\.0 s +9\.0 s +- +0\.0 s`, out.String())
	require.Contains(t, out.String(), "NOT COVERED: clock of one consumer +1h")
	require.Contains(t, out.String(), "crash points that killed nothing: A1")
	require.NotContains(t, out.String(), " C1 C2", "C1 killed something")
}
