package drop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// longestLatency is where the histogram ends: a slower answer counts as this slow.
const longestLatency = time.Minute

// Journal keeps every answer in the order in which they came. It may be used by many goroutines.
type Journal struct {
	mu      sync.Mutex
	answers []Answer
	tally   Tally
	latency *hdrhistogram.Histogram // of tries with an answer, in microseconds
	file    *os.File
	written int64 // answers in the file

	syncing sync.Mutex // held while the file is synced; never taken under mu
	synced  int64      // answers that are on the disk
}

// Tally counts tries by what they were told.
type Tally struct {
	Tries    int64
	Granted  int64                 // first grants that are binding
	Replayed int64                 // repeats of a binding grant
	Pending  int64                 // grants that are not binding yet
	Refused  map[coupon.Code]int64 // by code
	Unknown  int64                 // tries without an answer
}

// NewJournal returns a Journal in memory.
func NewJournal() *Journal {
	return &Journal{
		tally:   Tally{Refused: map[coupon.Code]int64{}},
		latency: hdrhistogram.New(1, longestLatency.Microseconds(), 3),
	}
}

// OpenJournal returns a Journal that also appends each answer to a file, as one line of JSON, which outlives a SIGKILL of
// this process; a promise is on the disk before Add returns, so it outlives the machine too. What the file holds already
// belongs to the Journal.
func OpenJournal(path string) (*Journal, error) {
	j := NewJournal()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if err := j.load(file); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("read the journal %s: %w", path, err)
	}
	j.file = file
	return j, nil
}

// load reads the answers and leaves the file at the end of the last whole one: a line that was cut off goes.
func (j *Journal) load(file *os.File) error {
	lines := bufio.NewReader(file)
	var end int64
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var answer Answer
		if err := json.Unmarshal(line, &answer); err != nil {
			return err
		}
		j.count(answer)
		end += int64(len(line))
	}
	if err := file.Truncate(end); err != nil {
		return err
	}
	_, err := file.Seek(end, io.SeekStart)
	return err
}

// Add appends an answer. The error is that of the file.
func (j *Journal) Add(answer Answer) error {
	file, number, err := j.append(answer)
	if err == nil && file != nil && answer.Binding() {
		err = j.sync(file, number)
	}
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// append returns the number of the answer in the file.
func (j *Journal) append(answer Answer) (file *os.File, number int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.count(answer)
	if j.file == nil {
		return nil, 0, nil
	}
	line, err := json.Marshal(answer)
	if err != nil {
		return nil, 0, err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return nil, 0, err
	}
	j.written++
	return j.file, j.written, nil
}

// sync returns when the answer of that number is on the disk. One call to the disk serves all who came before it began.
func (j *Journal) sync(file *os.File, number int64) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= number {
		return nil
	}
	j.mu.Lock()
	written := j.written
	j.mu.Unlock()
	if err := file.Sync(); err != nil {
		return err
	}
	j.synced = written
	return nil
}

func (j *Journal) count(a Answer) {
	j.answers = append(j.answers, a)
	j.tally.Tries++
	if a.HTTP == 0 {
		j.tally.Unknown++
		return
	}
	took := min(a.Received.Sub(a.Sent), longestLatency)
	_ = j.latency.RecordValue(max(1, took.Microseconds())) // within the bounds, so it cannot fail
	switch {
	case a.Binding() && a.HTTP == http.StatusAccepted:
		j.tally.Granted++
	case a.Binding():
		j.tally.Replayed++
	case a.granted():
		j.tally.Pending++
	default:
		j.tally.Refused[a.Code]++
	}
}

// Close closes the file. What was counted can still be read.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// Answers returns what was told so far, in the order of arrival.
func (j *Journal) Answers() []Answer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.answers)
}

// Tally returns the counts so far.
func (j *Journal) Tally() Tally {
	j.mu.Lock()
	defer j.mu.Unlock()
	tally := j.tally
	tally.Refused = maps.Clone(tally.Refused)
	return tally
}

// Latency returns how long answers took: half of them, and 99 of 100, were no slower.
func (j *Journal) Latency() (p50, p99 time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := func(percent float64) time.Duration {
		return time.Duration(j.latency.ValueAtQuantile(percent)) * time.Microsecond
	}
	return at(50), at(99)
}

// Promises returns how many claims were promised to a user, and when the last promise came; zero without one.
func (j *Journal) Promises() (claims int64, last time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	seen := map[key]bool{}
	for _, a := range j.answers {
		if !a.Binding() || seen[a.key()] {
			continue
		}
		seen[a.key()] = true
		if a.Received.After(last) {
			last = a.Received
		}
	}
	return int64(len(seen)), last
}

// Span returns when the first try was sent and when the last answer came; zero times when nothing was sent.
func (j *Journal) Span() (first, last time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.answers {
		if first.IsZero() || a.Sent.Before(first) {
			first = a.Sent
		}
		if a.Received.After(last) {
			last = a.Received
		}
	}
	return first, last
}

// Codes returns the codes of the refusals in their order.
func (t Tally) Codes() []coupon.Code { return slices.Sorted(maps.Keys(t.Refused)) }
