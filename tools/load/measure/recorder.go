// Package measure keeps how long answers of each kind took and when they came, adds up what several processes kept, and
// reports it.
package measure

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seonchak/seonchak/tools/load/told"
)

const (
	longest = time.Hour // where histograms end: what took longer counts as this long
	digits  = 3         // significant ones of a histogram
	lanes   = 8         // locks; more than cores wait for one seldom
)

// Recorder counts answers. It may be used by many goroutines; those that pass different lanes seldom meet.
type Recorder struct {
	answers atomic.Int64
	lanes   [lanes]lane
}

type lane struct {
	mu     sync.Mutex
	result Result
	_      [64]byte // the next lane is on another cache line
}

// Sample is one apply and when things happened to it, counted from the beginning of the run.
type Sample struct {
	Answer   told.Answer
	Intended time.Duration // when the plan wanted it to be sent
	Sent     time.Duration
	Received time.Duration
	Signing  time.Duration // what making the user's token took; not part of the rest
}

// Add counts an answer; lane is any number, such as that of the connection. The latency is counted from the intended time:
// what an apply waited because the server held up the ones before it is the server's.
func (r *Recorder) Add(number int, s Sample) {
	l := &r.lanes[number%lanes]
	l.mu.Lock()
	l.result.add(s)
	l.mu.Unlock()
	r.answers.Add(1)
}

// Answers returns how many there were so far.
func (r *Recorder) Answers() int64 { return r.answers.Load() }

// Result returns all that was counted. begin is when the run began, took how long it lasted.
func (r *Recorder) Result(begin time.Time, took time.Duration) Result {
	whole := Result{Begin: begin, Took: took}
	for i := range r.lanes {
		l := &r.lanes[i]
		l.mu.Lock()
		whole.addResult(l.result, 0)
		l.mu.Unlock()
	}
	return whole
}

func newHistogram() *Histogram {
	return &Histogram{hdrhistogram.New(1, longest.Microseconds(), digits)}
}

func (h *Histogram) record(d time.Duration) {
	_ = h.RecordValue(max(0, min(d, longest)).Microseconds()) // within its bounds it cannot fail
}
