package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/plotter"

	"github.com/seonchak/seonchak/tools/lab/trial"
)

func dropped(name string, connections int, perSecond float64, v trial.Verdict) trial.Result {
	return trial.Result{
		Case:    trial.Case{Strategy: name, Workload: trial.Drop, Servers: 1, Connections: connections},
		Verdict: v, PerSecond: perSecond, GrantsRate: perSecond / 2, Granted: 1, SoldOut: true,
	}
}

// written is the page of results.
func written(t *testing.T, results ...trial.Result) string {
	t.Helper()
	docs := t.TempDir()
	page := filepath.Join(docs, "lab-mysql.md")
	require.NoError(t, Write(page, []Kept{{About: About{Database: "MySQL 9"}, Results: results}}))
	for _, plot := range []string{"throughput-exact.svg", "throughput-others.svg", "errors.svg"} {
		require.FileExists(t, filepath.Join(docs, "lab-mysql", plot))
	}
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	return string(content)
}

func TestThePageSaysWhereThePipelineStands(t *testing.T) {
	t.Parallel()
	naive, wrong := dropped("naive", trial.Usual, 900, trial.Verdict{Over: 7, Miscounted: 2}), trial.Verdict{Lost: 1}
	atomic := dropped("atomic-update", trial.Usual, 500, trial.Verdict{})
	first := written(t, naive, atomic, dropped(trial.Pipeline, trial.Usual, 600, trial.Verdict{}))
	require.Contains(t, first, "more answers a second than the pipeline: none; more grants a second: none.")
	require.Contains(t, first, "more answers a second: naive; more grants: naive.")
	require.Contains(t, first, "| naive | over 7, miscounted 2 | – | – | – |")
	require.Contains(t, written(t, naive, atomic, dropped(trial.Pipeline, trial.Usual, 400, trial.Verdict{})), "more answers a second than the pipeline: atomic-update;")
	require.Contains(t, written(t, naive, atomic, dropped(trial.Pipeline, trial.Usual, 600, wrong)), "**The pipeline is not among them.**")
}

func TestThePageSaysWhatItWasMeasuredOn(t *testing.T) {
	t.Parallel()
	text := written(t, dropped("naive", trial.Usual, 900, trial.Verdict{Over: 7}))
	require.Contains(t, text, "The database server of this page is **MySQL 9**.")
	require.Contains(t, text, "](lab-mysql/errors.svg)")
	require.NotContains(t, text, "%!")
}

func TestThePageShowsHowTheyWaitAsMoreCome(t *testing.T) {
	t.Parallel()
	few, many := dropped("for-update", 4, 900, trial.Verdict{}), dropped("for-update", 256, 800, trial.Verdict{Unanswered: 1})
	few.LockWaits, few.LockWaited, many.LockWaits, many.Deadlocks, many.TimeOuts = 1_500, 3_000, 9, 2, 3
	text := written(t, many, few)
	require.Contains(t, text, "| for-update | 4 | 900 | 0.0 | 0.0 | 1,500 | 2.0 | 0 | 0 | 0 |\n| for-update | 256 | 800 | 0.0 | 0.0 | 9 | 0.0 | 3 | 2 | 1 |\n")
}

func TestThePageShowsWhatMembersTake(t *testing.T) {
	t.Parallel()
	grown := trial.Result{Case: trial.Case{Strategy: trial.Remembering, Workload: trial.Members}, Granted: 1_000, Memory: 64_000}
	require.Contains(t, written(t, dropped("naive", trial.Usual, 1, trial.Verdict{}), grown), "| 1,000 | 64,000 | 64 | 0 |")
}

// TestNothingIsWrong has no bar to draw.
func TestNothingIsWrong(t *testing.T) {
	t.Parallel()
	require.Contains(t, written(t, dropped("for-update", trial.Usual, 900, trial.Verdict{})), "| for-update | 900 | 450 | 0 | 0 |")
}

func TestATrialWithoutItsCrashIsADash(t *testing.T) {
	t.Parallel()
	naive, slow := dropped("naive", trial.Usual, 900, trial.Verdict{Over: 7}), dropped("optimistic", trial.Usual, 5, trial.Verdict{})
	slow.Crash = true
	require.Contains(t, written(t, naive, slow), "| optimistic | – | – | – | – |")
	slow.Crashed = true
	require.Contains(t, written(t, naive, slow), "| optimistic | – | – | 0 | – |")
}

func TestADropWithoutItsLimitIsADash(t *testing.T) {
	t.Parallel()
	slow := dropped("optimistic", trial.Usual, 5, trial.Verdict{})
	slow.SoldOut = false
	text := written(t, slow, dropped(trial.Pipeline, trial.Usual, 600, trial.Verdict{}))
	require.Contains(t, text, "| optimistic | – | – | – | – |")
	require.NotContains(t, text, "| optimistic | 5 | 2 | 0 | 0 |")
	require.Contains(t, text, "or to the crash: optimistic.")
	slow.Verdict.Over = 3
	text = written(t, slow)
	require.Contains(t, text, "| optimistic | over 3 | – | – | – |")
	require.NotContains(t, text, "Nothing was wrong with these either")
}

func TestThePipelineDoesNotTellItsRetries(t *testing.T) {
	t.Parallel()
	naive, product := dropped("naive", trial.Usual, 900, trial.Verdict{}), dropped(trial.Pipeline, trial.Usual, 600, trial.Verdict{})
	naive.LastRow, naive.Repeats, product.LastRow = 1.25, 7, 2.5
	text := written(t, naive, product)
	require.Contains(t, text, "| naive | 900 | 450 | 1.25 | 0.0 | 0.0 | 7 | 0.0 | 0 | 0 |")
	require.Contains(t, text, "| pipeline | 600 | 300 | 2.50 | 0.0 | 0.0 | 0 | – | – | – |")
}

func TestOnlyResultsThatCompareAreOnePage(t *testing.T) {
	t.Parallel()
	results := []trial.Result{dropped("naive", trial.Usual, 900, trial.Verdict{Over: 7})}
	today := About{Date: "2026-12-01", Commit: "a"}
	tomorrow, another := today, today
	tomorrow.Date, another.Commit = "2026-12-02", "b"
	page := filepath.Join(t.TempDir(), "lab.md")
	require.NoError(t, Write(page, []Kept{{today, results}, {tomorrow, results}}))
	require.Error(t, Write(page, []Kept{{today, results}, {another, results}}))

	path := filepath.Join(t.TempDir(), "naive.json")
	content, err := json.Marshal(Kept{today, results})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	for about, held := range map[About]int{tomorrow: 1, another: 0} {
		kept, err := LoadSame(path, about)
		require.NoError(t, err)
		require.Len(t, kept.Results, held)
	}
	_, err = LoadSame(path+"x", today)
	require.NoError(t, err)
}

func TestAPlotShowsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	all := []trial.Result{dropped("naive", 64, 3, trial.Verdict{}), dropped("naive", 8, 0, trial.Verdict{})}
	require.Equal(t, plotter.XYs{{X: 64, Y: 3}}, throughput(all, "naive"))
}

func TestTheTerminalHasALineForEachTrial(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	Terminal(&text, []trial.Result{dropped("naive", 64, 900, trial.Verdict{Twice: 3}), dropped(trial.Pipeline, 64, 600, trial.Verdict{})})
	require.Regexp(t, `naive +drop +1 +- +64 +twice 3 `, text.String())
	require.Regexp(t, `pipeline +drop +1 +- +64 +0 `, text.String())
}
