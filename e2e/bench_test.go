package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/procs"
)

const (
	benchConnections = 256
	benchApplies     = 20_000 // of one round
	benchRounds      = 7
)

// BenchmarkModeSQL is how many coupons a second an api-server issues by itself while Redis is away, its users told
// "issued". The client is one that costs little: it shares the processors with all the rest.
func BenchmarkModeSQL(b *testing.B) {
	stores := sharedStores(b)
	redis, throughProxy := newProxy(b, stores.Redis)
	s := newSite(b, fastPrograms(b), stores)
	server := s.apiServer("REDIS_URL="+throughProxy, "LOG_LEVEL=warn")
	s.consumer("REDIS_URL="+throughProxy, "LOG_LEVEL=warn") // its warden moves the campaign to MySQL
	campaign := s.campaign(benchApplies*(benchRounds+1), 1, server)
	redis.set(b, closed)
	s.awaitEpoch(campaign, 2, coupon.ModeSQL)
	for b.Loop() {
		var rates []float64
		for round := range benchRounds + 1 {
			result := applyAll(b, server, campaign, round)
			rate := result.Rate(result.Count(told.Issued))
			b.Logf("round %d: %.0f/s (%d of %d issued)", round, rate, result.Count(told.Issued), benchApplies)
			if round > 0 { // the first one warms up
				rates = append(rates, rate)
			}
		}
		b.ReportMetric(median(rates), "issued/s")
	}
}

// first hands out so many users, each once.
type first struct{ left uint64 }

func (f *first) Next() (arrival.Apply, bool) {
	if f.left == 0 {
		return arrival.Apply{}, false
	}
	f.left--
	return arrival.Apply{User: f.left}, true
}

// applyAll applies once for each of a round's users, who never came before.
func applyAll(b *testing.B, server *procs.APIServer, campaign string, round int) measure.Result {
	b.Helper()
	crowd := drive.New(drive.Options{
		Servers: []string{strings.TrimPrefix(server.URL, "http://")}, Campaigns: []string{campaign},
		Users: arrival.NewUsers(uint64(round)), Connections: benchConnections, Timeout: 5 * time.Second,
	}, &first{benchApplies})
	result, err := crowd.Run(b.Context(), time.Time{})
	require.NoError(b, err)
	require.Empty(b, result.Faults)
	return result
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
