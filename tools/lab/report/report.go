// Package report shows what strategies came to: a table for the terminal, a page with plots for the documentation.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/lab/trial"
)

// Names are the strategies in the order of the table, the product last.
func Names() (names []string) {
	for _, s := range strategy.All {
		names = append(names, s.Name)
	}
	return append(names, trial.Pipeline, trial.PipelinePaced)
}

// About says where and when results were measured.
type About struct {
	Date     string `json:"date"`
	Commit   string `json:"commit"`
	Machine  string `json:"machine"`
	Database string `json:"database"` // name and version, as the server says
	Stores   string `json:"stores"`
	Go       string `json:"go"`
	Command  string `json:"command"`
}

// Kept are the results of one strategy.
type Kept struct {
	About   About          `json:"about"`
	Results []trial.Result `json:"results"`
}

// Load reads what a run has kept.
func Load(path string) (kept Kept, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Kept{}, err
	}
	if err := json.Unmarshal(content, &kept); err != nil {
		return Kept{}, fmt.Errorf("read %s: %w", path, err)
	}
	return kept, nil
}

// LoadSame reads what a run has kept if it was about the same, else nothing.
func LoadSame(path string, about About) (Kept, error) {
	kept, err := Load(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !kept.About.Same(about) {
		return Kept{}, nil
	}
	return kept, err
}

// Same reports whether results of the two are comparable: all but the day is the same.
func (a About) Same(other About) bool {
	a.Date = other.Date
	return a == other
}

// Here completes what is known of a run with the day and this machine.
func (a About) Here() About {
	if a.Stores == "" {
		a.Stores = "stores that were there already"
	}
	a.Date, a.Go = time.Now().UTC().Format(time.DateOnly), runtime.Version()
	a.Machine = fmt.Sprintf("%d cores, %s", runtime.NumCPU(), processor())
	return a
}

func processor() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(field(string(content), "model name")), ":"))
}

// field returns what follows a name at the beginning of a line.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name); found {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// Terminal writes a line for each trial.
func Terminal(w io.Writer, results []trial.Result) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...any) { _, _ = fmt.Fprintln(table, strings.TrimSuffix(fmt.Sprintln(cells...), "\n")) }
	row("strategy\tworkload\tservers\tcrash\tat once\twrong\tunordered\tunanswered\tanswers/s\tgrants/s\tp50 ms\tp99 ms\tretries\tstatements/grant\tother p99 ms\tRedis KiB\trepeats")
	for _, r := range results {
		crash := "-"
		if r.Crash {
			crash = "crash"
		}
		row(fmt.Sprintf("%s\t%s\t%d\t%s\t%d\t%s\t%d\t%d\t%.0f\t%.0f\t%.1f\t%.1f\t%s\t%.1f\t%.1f\t%d\t%d", r.Strategy, r.Workload, r.Servers, crash,
			r.Connections, Errors(r.Verdict), r.Verdict.Unordered, r.Verdict.Unanswered, r.PerSecond, r.GrantsRate, r.P50, r.P99, ofServers(r, "%d", r.Retries),
			r.Statements, r.OtherP99, r.Memory>>10, r.Repeats))
	}
	_ = table.Flush()
}

// kinds are the errors, in the order of the table.
var kinds = []struct {
	name string
	of   func(trial.Verdict) int
}{
	{"over", func(v trial.Verdict) int { return v.Over }},
	{"twice", func(v trial.Verdict) int { return v.Twice }},
	{"lost", func(v trial.Verdict) int { return v.Lost }},
	{"burned", func(v trial.Verdict) int { return v.Burned }},
	{"wrong", func(v trial.Verdict) int { return v.Wrong }},
	{"miscounted", func(v trial.Verdict) int { return v.Miscounted }},
}

// ofServers writes what the servers of a strategy have counted; the product's do not tell.
func ofServers(r trial.Result, format string, figure any) string {
	if r.Product() {
		return "–"
	}
	return fmt.Sprintf(format, figure)
}

// Errors names what was wrong, "0" if nothing was.
func Errors(v trial.Verdict) string {
	var found []string
	for _, kind := range kinds {
		if n := kind.of(v); n > 0 {
			found = append(found, fmt.Sprintf("%s %d", kind.name, n))
		}
	}
	if len(found) == 0 {
		return "0"
	}
	return strings.Join(found, ", ")
}
