package measure

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/told"
)

// Report is a result as people and programs read it.
type Report struct {
	Begin     time.Time        `json:"begin"`
	Seconds   float64          `json:"seconds"`
	Applies   int64            `json:"applies"`
	Right     int64            `json:"right"`       // accepted, issued, replayed and sold_out
	RightRate float64          `json:"right_per_s"` // the rate that counts
	Kinds     []KindReport     `json:"kinds"`
	Codes     map[string]int64 `json:"codes,omitempty"`  // of pending and other answers, with their status
	Faults    map[string]int64 `json:"faults,omitempty"` // what broke the contract
	LateMS    Latency          `json:"late_ms"`          // how much later than intended applies were sent
	Timeline  []map[string]int `json:"timeline"`         // answers by kind, for each second
	SigningUS float64          `json:"signing_us"`       // making one token, on average
	ClientUS  float64          `json:"client_cpu_us"`    // processor time of the client, for each apply
}

// KindReport is what there is to say about the answers of one kind.
type KindReport struct {
	Kind      string  `json:"kind"`
	Count     int64   `json:"count"`
	Rate      float64 `json:"per_s"`
	LatencyMS Latency `json:"latency_ms"`
}

// Latency is a distribution in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

func latency(h *Histogram) Latency {
	if h == nil {
		return Latency{}
	}
	return Latency{
		P50: h.Milliseconds(50), P90: h.Milliseconds(90), P99: h.Milliseconds(99), P999: h.Milliseconds(99.9),
		Max: float64(h.Max()) / 1e3,
	}
}

// Report returns the report of a result. All kinds are in it, also those that did not occur.
func (r Result) Report() Report {
	report := Report{
		Begin: r.Begin, Seconds: r.Took.Seconds(), Applies: r.Applies(), Right: r.Right(), RightRate: r.Rate(r.Right()),
		Codes: r.Codes, Faults: r.Faults, LateMS: latency(r.Late),
	}
	for kind := range told.Kinds {
		n := r.Count(kind)
		report.Kinds = append(report.Kinds, KindReport{kind.String(), n, r.Rate(n), latency(r.Latency[kind])})
	}
	for _, counts := range r.Seconds {
		second := map[string]int{}
		for kind, n := range counts {
			if n > 0 {
				second[told.Kind(kind).String()] = int(n)
			}
		}
		report.Timeline = append(report.Timeline, second)
	}
	if report.Applies > 0 {
		report.SigningUS = float64(r.Signing.Microseconds()) / float64(report.Applies)
		report.ClientUS = float64(r.Client.Microseconds()) / float64(report.Applies)
	}
	return report
}

// Write writes the report as text.
func (r Report) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format+"\t\n", args...) } // Flush tells
	row("answers\tcount\tper s\tp50 ms\tp90\tp99\tp99.9\tmax")
	for _, k := range r.Kinds {
		l := k.LatencyMS
		row("%s\t%s\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f", k.Kind, drop.Number(k.Count), k.Rate, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	row("right\t%s\t%.0f\t\t\t\t\t", drop.Number(r.Right), r.RightRate)
	row("sent late\t\t\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f", r.LateMS.P50, r.LateMS.P90, r.LateMS.P99, r.LateMS.P999, r.LateMS.Max)
	if err := table.Flush(); err != nil {
		return err
	}
	for _, counts := range []map[string]int64{r.Codes, r.Faults} {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			_, _ = fmt.Fprintf(w, "  %s: %s\n", name, drop.Number(counts[name]))
		}
	}
	_, err := fmt.Fprintf(w, "%s applies in %.2f s; client: %.1f µs of a processor each, of it %.1f µs for the token\n",
		drop.Number(r.Applies), r.Seconds, r.ClientUS, r.SigningUS)
	return err
}
