package compare

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Row is a path of an apply and one floor below it, or a path or a floor alone.
type Row struct {
	Path        string  `json:"path"`
	Floor       string  `json:"floor,omitempty"`
	Share       float64 `json:"share,omitempty"`   // of Latency: of the maximum
	Offered     float64 `json:"offered,omitempty"` // of Latency: applies a second by the plan, median
	Rate        float64 `json:"per_s"`             // median of the rounds
	FloorRate   float64 `json:"floor_per_s"`       // median
	Ratio       Spread  `json:"ratio"`             // of the two rates of a round; of Latency: of the two p99
	P50         float64 `json:"p50_ms"`            // of the right answers, median
	P99         float64 `json:"p99_ms"`            // of the right answers, median; 0 when not known
	FloorP99    float64 `json:"floor_p99_ms"`
	Drain       *Spread `json:"drain_s,omitempty"` // from the last promise to the issued_at of the last row
	ServerCPU   float64 `json:"server_cpu_s"`      // seconds for 1,000 right answers, median; 0 when not known
	FloorCPU    float64 `json:"floor_cpu_s"`
	ClientCPU   float64 `json:"client_cpu_s"`
	OtherShare  float64 `json:"other_share"` // part of the path's answers that count for nothing
	Judged      int64   `json:"judged"`      // rows that were compared with all that was told, and agree
	Rounds      []Round `json:"rounds"`
	FloorRounds []Round `json:"floor_rounds,omitempty"`
}

// Spread is what several rounds came to.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// turns is coldTurns after a round that warms up and is not among the results.
func turns(ctx context.Context, rounds int, say func(format string, args ...any), all []contender) ([][]Round, error) {
	if _, err := turn(ctx, 0, rounds, say, all); err != nil {
		return make([][]Round, len(all)), err
	}
	return coldTurns(ctx, rounds, say, all)
}

// coldTurns lets all contenders have so many rounds, and returns the whole rounds of each, also with an error. They
// alternate who begins.
func coldTurns(ctx context.Context, rounds int, say func(format string, args ...any), all []contender) ([][]Round, error) {
	results := make([][]Round, len(all))
	for round := 1; round <= rounds; round++ {
		ended, err := turn(ctx, round, rounds, say, all)
		if err != nil {
			return results, err
		}
		for i := range all {
			results[i] = append(results[i], ended[i])
		}
	}
	return results, nil
}

// turn is one round of each. In every second one the last begins.
func turn(ctx context.Context, round, rounds int, say func(format string, args ...any), all []contender) ([]Round, error) {
	ended := make([]Round, len(all))
	for i := range all {
		if round%2 == 1 {
			i = len(all) - 1 - i
		}
		r, err := all[i].round(ctx)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", all[i].name, err)
		}
		ended[i] = r
		say("round %d of %d: %s %.0f/s %s\n", round, rounds, all[i].name, r.Rate(), r.Wrong)
	}
	return ended, nil
}

// ratio compares a round of a path with the one of a floor.
type ratio func(path, floor Round) float64

func rateRatio(path, floor Round) float64 { return path.Rate() / floor.Rate() }
func p99Ratio(path, floor Round) float64  { return path.P99.Seconds() / floor.P99.Seconds() }

// rows compares the first contender with each of the others. Without others it is alone, without rounds there is no row.
func rows(all []contender, results [][]Round, of ratio) (table []Row) {
	path := results[0]
	if len(path) == 0 {
		return nil
	}
	if len(all) == 1 {
		return []Row{alone(all[0].name, path)}
	}
	for i := 1; i < len(all); i++ {
		ratios := make([]float64, len(path))
		for round := range path {
			ratios[round] = of(path[round], results[i][round])
		}
		row := alone(all[0].name, path)
		row.Floor, row.FloorRounds, row.Ratio = all[i].name, results[i], SpreadOf(ratios)
		row.FloorRate, row.FloorCPU, row.FloorP99 = median(results[i], Round.Rate), median(results[i], Round.ServerCPU), median(results[i], p99)
		table = append(table, row)
	}
	return table
}

// alone is the row of a contender that is compared with nothing.
func alone(name string, rounds []Round) Row {
	row := Row{
		Path: name, Offered: median(rounds, offered), Rate: median(rounds, Round.Rate), P50: median(rounds, p50), P99: median(rounds, p99), ServerCPU: median(rounds, Round.ServerCPU),
		ClientCPU: median(rounds, clientCPU), OtherShare: median(rounds, otherShare), Rounds: rounds,
	}
	if rounds[0].Drain != nil {
		drain := SpreadOf(values(rounds, func(r Round) float64 { return r.Drain.Seconds() }))
		row.Drain = &drain
	}
	return row
}

func offered(r Round) float64   { return r.Offered }
func p50(r Round) float64       { return r.P50.Seconds() * 1000 }
func p99(r Round) float64       { return r.P99.Seconds() * 1000 }
func clientCPU(r Round) float64 { return perThousand(r.Client, r.Right) }

func perThousand(used time.Duration, answers int64) float64 {
	return used.Seconds() * 1000 / float64(max(answers, 1))
}

func otherShare(r Round) float64 { return float64(r.Other) / float64(max(r.Right+r.Other, 1)) }

func median(rounds []Round, of func(Round) float64) float64 {
	return SpreadOf(values(rounds, of)).Median
}

func values(rounds []Round, of func(Round) float64) []float64 {
	all := make([]float64, len(rounds))
	for i, r := range rounds {
		all[i] = of(r)
	}
	return all
}

// SpreadOf returns the median, the lowest and the highest of at least one value.
func SpreadOf(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// Write writes rows as a table.
func Write(w io.Writer, table []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\t\n", args...) } // Flush tells
	line("path\tfloor\tper s\tfloor per s\tratio\tmin..max\tp99 ms\tfloor's\tdrain s\tserver CPU s / 1,000\tfloor's\tclient's\tnot right\trows judged")
	for _, r := range table {
		var floorRate, ratio, spread, floorP99, drain, floorCPU string
		if r.Floor != "" {
			floorRate, ratio = fmt.Sprintf("%.0f", r.FloorRate), fmt.Sprintf("%.3f", r.Ratio.Median)
			spread = fmt.Sprintf("%.3f..%.3f", r.Ratio.Min, r.Ratio.Max)
			floorP99, floorCPU = fmt.Sprintf("%.1f", r.FloorP99), fmt.Sprintf("%.4f", r.FloorCPU)
		}
		if r.Drain != nil {
			drain = fmt.Sprintf("%.2f", r.Drain.Median)
		}
		line("%s\t%s\t%.0f\t%s\t%s\t%s\t%.1f\t%s\t%s\t%.4f\t%s\t%.4f\t%.1f %%\t%d", r.Path, r.Floor, r.Rate, floorRate, ratio, spread,
			r.P99, floorP99, drain, r.ServerCPU, floorCPU, r.ClientCPU, 100*r.OtherShare, r.Judged)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeDrained(w, table)
}
