package report

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/lab/trial"
)

func dropped(name string, connections int, perSecond float64, v trial.Verdict) trial.Result {
	return trial.Result{
		Case:    trial.Case{Strategy: name, Workload: trial.Drop, Servers: 1, Connections: connections},
		Verdict: v, PerSecond: perSecond, GrantsRate: perSecond / 2, Granted: 1,
	}
}

// written is the page of results.
func written(t *testing.T, results ...trial.Result) string {
	t.Helper()
	docs := t.TempDir()
	require.NoError(t, Write(docs, []Kept{{Results: results}}))
	for _, plot := range []string{"throughput-exact.svg", "throughput-others.svg", "errors.svg"} {
		require.FileExists(t, filepath.Join(docs, "lab", plot))
	}
	content, err := os.ReadFile(filepath.Join(docs, "lab.md"))
	require.NoError(t, err)
	return string(content)
}

func TestThePageSaysWhereThePipelineStands(t *testing.T) {
	t.Parallel()
	naive, wrong := dropped("naive", usual, 900, trial.Verdict{Over: 7, Miscounted: 2}), trial.Verdict{Lost: 1}
	atomic := dropped("atomic-update", usual, 500, trial.Verdict{})
	first := written(t, naive, atomic, dropped(trial.Pipeline, usual, 600, trial.Verdict{}))
	require.Contains(t, first, "more answers a second than the pipeline: none; more grants a second: none.")
	require.Contains(t, first, "more answers a second: naive; more grants: naive.")
	require.Contains(t, first, "| naive | over 7, miscounted 2 | – | – | – |")
	require.Contains(t, written(t, naive, atomic, dropped(trial.Pipeline, usual, 400, trial.Verdict{})), "more answers a second than the pipeline: atomic-update;")
	require.Contains(t, written(t, naive, atomic, dropped(trial.Pipeline, usual, 600, wrong)), "**The pipeline is not among them.**")
}

func TestATrialWithoutItsCrashIsADash(t *testing.T) {
	t.Parallel()
	naive, slow := dropped("naive", usual, 900, trial.Verdict{Over: 7}), dropped("optimistic", usual, 5, trial.Verdict{})
	slow.Crash = true
	require.Contains(t, written(t, naive, slow), "| optimistic | – | – | – | – |")
	slow.Crashed = true
	require.Contains(t, written(t, naive, slow), "| optimistic | – | – | 0 | – |")
}

func TestTheTerminalHasALineForEachTrial(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	Terminal(&text, []trial.Result{dropped("naive", 64, 900, trial.Verdict{Twice: 3}), dropped(trial.Pipeline, 64, 600, trial.Verdict{})})
	require.Regexp(t, `naive +drop +1 +- +64 +twice 3 `, text.String())
	require.Regexp(t, `pipeline +drop +1 +- +64 +0 `, text.String())
}
