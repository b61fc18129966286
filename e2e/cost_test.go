package e2e

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/load/told"
)

// costRounds is how often the two are measured by turns, and costQuantile the 97.5 % quantile of Student's t distribution
// with one degree of freedom less.
const (
	costRounds   = 15
	costQuantile = 2.145
)

// BenchmarkCostOfSealAndConfirm compares the api-server with the same code that neither asks Redis for its seal nor MySQL
// for the epoch: by turns, on the same stores, with one consumer that writes the rows of both. cost is by how much less the
// whole one answers, cost-upper the upper end of its 95 % interval.
func BenchmarkCostOfSealAndConfirm(b *testing.B) {
	stores := sharedStores(b)
	bare := filepath.Join(b.TempDir(), "bare")
	require.NoError(b, build(bare, "-tags=planted"))
	s := newSite(b, fastPrograms(b), stores)
	whole := s.apiServer("LOG_LEVEL=warn")
	without, err := s.StartOther(b.Context(), filepath.Join(bare, "api-server"), "LOG_LEVEL=warn", "SEONCHAK_PLANTED=no-seal,no-confirm")
	require.NoError(b, err)
	s.consumer("LOG_LEVEL=warn")
	for b.Loop() {
		limit := benchApplies * (costRounds + 1)
		first, second := s.campaign(limit, 1, whole), s.campaign(limit, 1, without)
		var logs []float64
		granted := 0
		for round := range costRounds + 1 {
			with, none := applyAll(b, whole, first, round), applyAll(b, without, second, round)
			granted += int(with.Count(told.Accepted) + none.Count(told.Accepted))
			await(b, "the rows", func() bool { return s.rows(first)+s.rows(second) >= granted })
			rate, unasked := with.Rate(with.Count(told.Accepted)), none.Rate(none.Count(told.Accepted))
			b.Logf("round %d: whole %.0f/s, without %.0f/s", round, rate, unasked)
			if round > 0 { // the first one warms up
				logs = append(logs, math.Log(rate/unasked))
			}
		}
		mean, half := interval(logs)
		b.ReportMetric(1-math.Exp(mean), "cost")
		b.ReportMetric(1-math.Exp(mean-half), "cost-upper")
	}
}

// interval returns the mean of values and half the width of its 95 % interval.
func interval(values []float64) (mean, half float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	var squares float64
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return mean, costQuantile * math.Sqrt(squares/(n-1)/n)
}
