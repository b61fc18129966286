package measure

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seonchak/seonchak/tools/load/told"
)

// Result is what a run, or several at once, came to.
type Result struct {
	Begin   time.Time
	Took    time.Duration // from the beginning to the last answer
	Latency Histograms    // of the kinds that occurred, in microseconds from the intended time
	Late    *Histogram    // how much later than intended applies were sent, in microseconds: what the client did not keep up
	Seconds []Counts      // answers by kind, for each second after Begin
	Codes   map[string]int64
	Faults  map[string]int64
	Signing time.Duration // what making tokens took, all together
	Client  time.Duration // processor time of the client
}

// Counts are answers by kind.
type Counts [told.Kinds]int64

// Histograms are by kind.
type Histograms map[told.Kind]*Histogram

func (r *Result) add(s Sample) {
	kind := s.Answer.Kind
	r.of(kind).record(s.Received - s.Intended)
	r.late().record(s.Sent - s.Intended)
	second := max(0, int(s.Received/time.Second))
	for len(r.Seconds) <= second {
		r.Seconds = append(r.Seconds, Counts{})
	}
	r.Seconds[second][kind]++
	r.Signing += s.Signing
	if kind >= told.Pending {
		r.addOdd(s.Answer)
	}
}

// addOdd counts answers that are not what people come for, by what they say.
func (r *Result) addOdd(a told.Answer) {
	if r.Codes == nil {
		r.Codes, r.Faults = map[string]int64{}, map[string]int64{}
	}
	if a.HTTP != 0 {
		r.Codes[strconv.Itoa(a.HTTP)+" "+string(a.Code)+string(a.Status)]++
	}
	if a.Fault != "" {
		r.Faults[a.Fault]++
	}
}

// Merge returns what results of processes that ran at the same time come to together.
func Merge(results ...Result) Result {
	if len(results) == 0 {
		return Result{}
	}
	begin := slices.MinFunc(results, func(a, b Result) int { return a.Begin.Compare(b.Begin) }).Begin
	whole := Result{Begin: begin}
	for _, r := range results {
		whole.addResult(r, r.Begin.Sub(begin))
	}
	return whole
}

// addResult adds a result that began so much later.
func (r *Result) addResult(other Result, later time.Duration) {
	r.Took = max(r.Took, later+other.Took)
	for kind, h := range other.Latency {
		r.of(kind).Merge(h.Histogram)
	}
	if other.Late != nil {
		r.late().Merge(other.Late.Histogram)
	}
	shift := int(later.Round(time.Second) / time.Second)
	for second, counts := range other.Seconds {
		for len(r.Seconds) <= second+shift {
			r.Seconds = append(r.Seconds, Counts{})
		}
		for kind, n := range counts {
			r.Seconds[second+shift][kind] += n
		}
	}
	r.Codes, r.Faults = sum(r.Codes, other.Codes), sum(r.Faults, other.Faults)
	r.Signing += other.Signing
	r.Client += other.Client
}

// of returns the histogram of a kind, a new one if need be.
func (r *Result) of(kind told.Kind) *Histogram {
	if r.Latency == nil {
		r.Latency = Histograms{}
	}
	if r.Latency[kind] == nil {
		r.Latency[kind] = newHistogram()
	}
	return r.Latency[kind]
}

func (r *Result) late() *Histogram {
	if r.Late == nil {
		r.Late = newHistogram()
	}
	return r.Late
}

func sum(a, b map[string]int64) map[string]int64 {
	if len(b) == 0 {
		return a
	}
	total := maps.Clone(a)
	if total == nil {
		total = map[string]int64{}
	}
	for name, n := range b {
		total[name] += n
	}
	return total
}

// Count returns how many answers were of a kind.
func (r Result) Count(kind told.Kind) int64 {
	if r.Latency[kind] == nil {
		return 0
	}
	return r.Latency[kind].TotalCount()
}

// Applies returns how many applies were sent.
func (r Result) Applies() (n int64) {
	for kind := range told.Kinds {
		n += r.Count(kind)
	}
	return n
}

// Right returns how many answers are what people come for.
func (r Result) Right() (n int64) {
	for kind := range told.Kinds {
		if kind.Right() {
			n += r.Count(kind)
		}
	}
	return n
}

// Percentile returns the latency that so many percent of the answers of these kinds do not exceed.
func (r Result) Percentile(percent float64, kinds ...told.Kind) time.Duration {
	all := newHistogram()
	for _, kind := range kinds {
		if h := r.Latency[kind]; h != nil {
			all.Merge(h.Histogram)
		}
	}
	return time.Duration(all.ValueAtQuantile(percent)) * time.Microsecond
}

// latest is by how much one apply of a hundred may be sent late before that is worth a word: the time it waits is in its
// latency, and need not be the server's.
const latest = 10 * time.Millisecond

// SentLate returns a warning when the client was the bottleneck; "" when it was not.
func (r Result) SentLate() string {
	if r.Late == nil || r.Late.Milliseconds(99) < float64(latest.Milliseconds()) {
		return ""
	}
	return fmt.Sprintf("warning: one apply in a hundred was sent more than %.0f ms late, because all connections were waiting or "+
		"the client had no processor; its latency holds that time: try more --connections, fewer users, or several shards",
		r.Late.Milliseconds(99))
}

// Rate returns so many answers of the run by the second.
func (r Result) Rate(answers int64) float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(answers) / r.Took.Seconds()
}

// Histogram is one that can be written to a file.
type Histogram struct{ *hdrhistogram.Histogram }

// GobEncode writes the histogram compressed.
func (h *Histogram) GobEncode() ([]byte, error) {
	return h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// GobDecode reads what GobEncode wrote.
func (h *Histogram) GobDecode(encoded []byte) (err error) {
	h.Histogram, err = hdrhistogram.Decode(encoded)
	return err
}

// Milliseconds returns the latency that so many percent of the samples do not exceed.
func (h *Histogram) Milliseconds(percent float64) float64 {
	return float64(h.ValueAtQuantile(percent)) / 1e3
}
