package e2e

import (
	"bytes"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/procs"
)

const (
	benchConnections = 256
	benchApplies     = 20_000 // of one round
	benchRounds      = 7
)

// BenchmarkApply compares the api-server, at work on real stores with a consumer that writes every row, with a handler
// that does nothing: the same client, the same machine, by turns. Only applies answered "accepted" count. The ratio is
// the median of the rounds: what disturbs one disturbs both halves of it.
func BenchmarkApply(b *testing.B) {
	stores := sharedStores(b)
	bin := fastPrograms(b)
	s := newSite(b, bin, stores)
	server := s.apiServer("PPROF=1", "LOG_LEVEL=warn")
	s.consumer("PPROF=1", "LOG_LEVEL=warn")
	floor := startFloor(b, bin)
	limit := benchApplies * (benchRounds + 1)
	for b.Loop() {
		campaign := s.campaign(limit, 1, server)
		var floors, applies, ratios []float64
		granted := 0
		for round := range benchRounds + 1 {
			bare, _ := applyAll(b, floor, "any", round)
			rate, accepted := applyAll(b, server.URL, campaign, round)
			granted += accepted
			await(b, "the rows", func() bool { return s.rows(campaign) >= granted })
			b.Logf("round %d: floor %.0f/s, api-server %.0f/s (%d of %d accepted)", round, bare, rate, accepted, benchApplies)
			if round > 0 { // the first one warms up
				floors, applies, ratios = append(floors, bare), append(applies, rate), append(ratios, rate/bare)
			}
		}
		b.ReportMetric(median(floors), "floor-applies/s")
		b.ReportMetric(median(applies), "applies/s")
		b.ReportMetric(median(ratios), "ratio")
	}
}

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
			crowd := drive.New(drive.Options{
				Servers: []string{strings.TrimPrefix(server.URL, "http://")}, Campaigns: []string{campaign},
				Users: arrival.NewUsers(uint64(round)), Connections: benchConnections, Timeout: 5 * time.Second,
			}, &first{benchApplies})
			result, err := crowd.Run(b.Context(), time.Time{})
			require.NoError(b, err)
			require.Empty(b, result.Faults)
			rate := float64(result.Count(told.Issued)) / result.Took.Seconds()
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

func startFloor(b *testing.B, bin string) string {
	b.Helper()
	address, err := procs.FreeAddress()
	require.NoError(b, err)
	process, err := procs.Start(b.Context(), procs.Spec{
		Name: "floor", Binary: filepath.Join(bin, "floor"), Env: []string{"HTTP_ADDR=" + address},
		Log: filepath.Join(b.TempDir(), "log"), Ready: "http://" + address + "/readyz",
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = process.Kill() })
	return "http://" + address
}

// applyAll applies once for each of a round's users and returns how many applies a second were accepted.
func applyAll(b *testing.B, server, campaign string, round int) (perSecond float64, accepted int) {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: benchConnections, DisableCompression: true}
	defer transport.CloseIdleConnections()
	url := server + "/v1/campaigns/" + campaign + "/apply"
	var next, good atomic.Int64
	var failure atomic.Pointer[error]
	var crowd sync.WaitGroup
	began := time.Now()
	for range benchConnections {
		crowd.Go(func() {
			body := make([]byte, 0, 1024)
			for {
				i := int(next.Add(1))
				if i > benchApplies {
					return
				}
				ok, err := applyOnce(transport, url, "u-"+strconv.Itoa(round*benchApplies+i), body)
				if err != nil {
					failure.Store(&err)
					return
				}
				if ok {
					good.Add(1)
				}
			}
		})
	}
	crowd.Wait()
	took := time.Since(began)
	if err := failure.Load(); err != nil {
		require.NoError(b, *err)
	}
	return float64(good.Load()) / took.Seconds(), int(good.Load())
}

// applyOnce reports whether the answer is a promise.
func applyOnce(transport *http.Transport, url, user string, buffer []byte) (bool, error) {
	request, err := http.NewRequest(http.MethodPost, url, http.NoBody)
	if err != nil {
		return false, err
	}
	request.Header.Set("X-User-Id", user)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	body := bytes.NewBuffer(buffer)
	if _, err := body.ReadFrom(response.Body); err != nil {
		return false, err
	}
	return response.StatusCode == http.StatusAccepted && bytes.Contains(body.Bytes(), []byte(`"status":"accepted"`)), nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
