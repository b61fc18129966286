package compare

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Row is a path of an apply and one floor below it, or a floor alone.
type Row struct {
	Path        string  `json:"path"`
	Floor       string  `json:"floor,omitempty"`
	Rate        float64 `json:"per_s"`        // median of the rounds
	FloorRate   float64 `json:"floor_per_s"`  // median
	Ratio       Spread  `json:"ratio"`        // of the two rates of a round
	ServerCPU   float64 `json:"server_cpu_s"` // seconds for 1,000 right answers, median; 0 when not known
	FloorCPU    float64 `json:"floor_cpu_s"`
	ClientCPU   float64 `json:"client_cpu_s"`
	OtherShare  float64 `json:"other_share"` // part of the path's answers that count for nothing
	Rounds      []Round `json:"rounds"`
	FloorRounds []Round `json:"floor_rounds,omitempty"`
}

// Spread is what several rounds came to.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// turns lets all contenders have so many rounds, and returns the rounds of each. They alternate who begins. A first round,
// which warms up, is not among them.
func turns(ctx context.Context, rounds int, say func(format string, args ...any), all []contender) ([][]Round, error) {
	results := make([][]Round, len(all))
	for round := range rounds + 1 {
		for i := range all {
			if round%2 == 1 {
				i = len(all) - 1 - i
			}
			r, err := all[i].round(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			say("round %d of %d: %s %.0f/s\n", round, rounds, all[i].name, r.Rate())
			if round > 0 {
				results[i] = append(results[i], r)
			}
		}
	}
	return results, nil
}

// rows compares the first contender with each of the others.
func rows(all []contender, results [][]Round) (table []Row) {
	path := results[0]
	for i := 1; i < len(all); i++ {
		ratios := make([]float64, len(path))
		for round := range path {
			ratios[round] = path[round].Rate() / results[i][round].Rate()
		}
		row := alone(all[0].name, path)
		row.Floor, row.FloorRounds = all[i].name, results[i]
		row.FloorRate, row.FloorCPU, row.Ratio = median(results[i], Round.Rate), median(results[i], serverCPU), spread(ratios)
		table = append(table, row)
	}
	return table
}

// alone is the row of a contender that is compared with nothing.
func alone(name string, rounds []Round) Row {
	return Row{
		Path: name, Rate: median(rounds, Round.Rate), ServerCPU: median(rounds, serverCPU), ClientCPU: median(rounds, clientCPU),
		OtherShare: median(rounds, otherShare), Rounds: rounds,
	}
}

func serverCPU(r Round) float64 { return perThousand(r.Server, r.Right) }
func clientCPU(r Round) float64 { return perThousand(r.Client, r.Right) }

func perThousand(used time.Duration, answers int64) float64 {
	return used.Seconds() * 1000 / float64(max(answers, 1))
}

func otherShare(r Round) float64 { return float64(r.Other) / float64(max(r.Right+r.Other, 1)) }

func median(rounds []Round, of func(Round) float64) float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	return spread(values).Median
}

func spread(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// Write writes rows as a table.
func Write(w io.Writer, table []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\t\n", args...) } // Flush tells
	line("path\tfloor\tper s\tfloor per s\tratio\tmin..max\tserver CPU s / 1,000\tfloor's\tclient's\tnot right")
	for _, r := range table {
		if r.Floor == "" {
			line("%s\t\t%.0f\t\t\t\t%.4f\t\t%.4f\t%.1f %%", r.Path, r.Rate, r.ServerCPU, r.ClientCPU, 100*r.OtherShare)
			continue
		}
		line("%s\t%s\t%.0f\t%.0f\t%.3f\t%.3f..%.3f\t%.4f\t%.4f\t%.4f\t%.1f %%", r.Path, r.Floor, r.Rate, r.FloorRate,
			r.Ratio.Median, r.Ratio.Min, r.Ratio.Max, r.ServerCPU, r.FloorCPU, r.ClientCPU, 100*r.OtherShare)
	}
	return t.Flush()
}
