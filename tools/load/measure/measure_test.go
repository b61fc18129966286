package measure

import (
	"bytes"
	"encoding/gob"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/load/told"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// recorded returns 100 accepted applies a second for 3 s, each answered after its number in ms, and one of each odd kind.
func recorded(begin time.Time) Result {
	var r Recorder
	for i := range 300 {
		at := ms(10 * i)
		r.Add(i, Sample{
			Answer: told.Answer{Kind: told.Accepted}, Intended: at, Sent: at + ms(1), Received: at + ms(i%100), Signing: time.Microsecond,
		})
	}
	r.Add(7, Sample{Answer: told.Answer{Kind: told.Other, HTTP: 409, Code: []byte("campaign_paused")}})
	r.Add(8, Sample{Answer: told.Answer{Kind: told.Other, HTTP: 202, Fault: "no Location"}})
	r.Add(9, Sample{Answer: told.Answer{Kind: told.Unknown}, Received: 90 * time.Second})
	r.Add(10, Sample{Answer: told.Answer{Kind: told.Overloaded}, Intended: -2 * longest})
	return r.Result(begin, 4*time.Second)
}

func TestResult(t *testing.T) {
	t.Parallel()
	r := recorded(noon)
	require.EqualValues(t, 304, r.Applies())
	require.EqualValues(t, 300, r.Right())
	require.InDelta(t, 75, r.Rate(r.Right()), 1e-9)
	require.InDelta(t, 50, r.Latency[told.Accepted].Milliseconds(50), 1)
	require.InDelta(t, 98, r.Latency[told.Accepted].Milliseconds(99), 1)
	require.InDelta(t, 1, r.Late.Milliseconds(50), 0.01)
	require.InDelta(t, 90, float64(r.Latency[told.Unknown].Max())/1e6, 0.1, "a crowd that a server cannot keep up with waits for minutes")
	require.InEpsilon(t, longest.Seconds(), float64(r.Latency[told.Overloaded].Max())/1e6, 0.001)
	require.Equal(t, map[string]int64{"409 campaign_paused": 1, "202 ": 1}, r.Codes)
	require.Equal(t, map[string]int64{"no Location": 1}, r.Faults)
	require.Equal(t, 300*time.Microsecond, r.Signing)
	perSecond := int64(0)
	for _, counts := range r.Seconds[:4] {
		perSecond += counts[told.Accepted]
	}
	require.EqualValues(t, 300, perSecond)
	require.Len(t, r.Seconds, 91)
}

func TestPercentileOfSeveralKinds(t *testing.T) {
	t.Parallel()
	var r Recorder
	for i := range 100 {
		kind := told.Accepted
		if i >= 90 {
			kind = told.SoldOut
		}
		r.Add(i, Sample{Answer: told.Answer{Kind: kind}, Received: ms(i + 1)})
	}
	result := r.Result(noon, time.Second)
	require.InDelta(t, ms(95), result.Percentile(95, told.Accepted, told.SoldOut), float64(ms(1)))
	require.InDelta(t, ms(90), result.Percentile(99, told.Accepted), float64(ms(1)))
	require.Zero(t, result.Percentile(99, told.Unknown))
}

func TestSentLate(t *testing.T) {
	t.Parallel()
	late := func(by time.Duration, of int) string {
		var r Recorder
		for i := range 100 {
			s := Sample{Answer: told.Answer{Kind: told.Accepted}}
			if i < of {
				s.Sent = by
			}
			r.Add(i, s)
		}
		return r.Result(noon, time.Second).SentLate()
	}
	require.Empty(t, Result{}.SentLate())
	require.Empty(t, late(ms(5), 100))
	require.Empty(t, late(ms(500), 1))
	require.Contains(t, late(ms(50), 2), "more than 50 ms late")
}

func TestReportNamesEveryKind(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	require.NoError(t, recorded(noon).Report().Write(&text))
	for _, want := range []string{
		"accepted", "issued", "replayed", "sold_out", "pending", "overloaded", "other", "unknown", "409 campaign_paused: 1", "no Location: 1",
	} {
		require.Contains(t, text.String(), want)
	}
	require.Regexp(t, `right +300 +75`, text.String())
	require.Equal(t, Report{Kinds: Result{}.Report().Kinds}, Result{}.Report())
}

func TestMergeIsAsIfOneHadSeenAll(t *testing.T) {
	t.Parallel()
	first, second := recorded(noon), recorded(noon.Add(2*time.Second))
	whole := Merge(second, first)
	require.Equal(t, noon, whole.Begin)
	require.Equal(t, 6*time.Second, whole.Took)
	require.EqualValues(t, 608, whole.Applies())
	require.EqualValues(t, 2, whole.Faults["no Location"])
	require.Equal(t, first.Latency[told.Accepted].ValueAtQuantile(90), whole.Latency[told.Accepted].ValueAtQuantile(90))
	require.Equal(t, first.Seconds[2][told.Accepted]+second.Seconds[0][told.Accepted], whole.Seconds[2][told.Accepted])
	require.EqualValues(t, 304, first.Applies(), "a merge leaves its parts alone")
	require.EqualValues(t, 1, first.Codes["409 campaign_paused"])
}

func TestAFileKeepsAResult(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	want := recorded(noon)
	require.NoError(t, gob.NewEncoder(&file).Encode(want))
	var got Result
	require.NoError(t, gob.NewDecoder(&file).Decode(&got))
	require.Equal(t, want.Report(), got.Report())
}

func TestCharts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "charts")
	require.NoError(t, recorded(noon).WriteSVG(dir))
	for _, name := range []string{"latency.svg", "answers.svg"} {
		svg, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Contains(t, string(svg), ">accepted<")
		require.NotContains(t, string(svg), ">sold_out<", "it did not occur")
	}
}
