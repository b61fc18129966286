package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
)

// Record is one run, as the ledger keeps it.
type Record struct {
	At       time.Time      `json:"at"`
	Class    string         `json:"class"`
	Seed     uint64         `json:"seed"`
	Took     float64        `json:"took_s"`
	Window   bool           `json:"window"` // the fault is more than kills of programs
	Acked    int64          `json:"acked"`  // grants that were promised
	Kills    map[string]int `json:"kills,omitempty"`
	Lost     int64          `json:"lost"`
	Doubled  int64          `json:"doubled"`
	Over     int64          `json:"over"`
	Wrong    int64          `json:"wrong"`
	Unrest   []string       `json:"unrest,omitempty"` // what did not come to rest, or does not reconcile, or crashed
	Findings []string       `json:"findings,omitempty"`
	Layers   []string       `json:"layers,omitempty"` // which checks failed
	Grant    float64        `json:"grant_s"`          // from the heal to the first new grant; below 0: none was left to give
	Rest     float64        `json:"rest_s"`           // from the heal to rest
	Stopped  string         `json:"stopped,omitempty"`

	// Of the applies sent from the fault until grants went on: how many, how many were answered within a second, how long
	// the slowest took, and what was told how often.
	Asked   int64            `json:"asked"`
	Prompt  int64            `json:"prompt"`
	Slowest float64          `json:"slowest_s"`
	Told    map[string]int64 `json:"told,omitempty"`
}

// OK reports whether nothing is wrong.
func (r Record) OK() bool { return len(r.Layers) == 0 && r.Stopped == "" }

// add takes a campaign's verdict in.
func (r *Record) add(v drop.Verdict) {
	r.Lost += v.Lost + v.Failed
	r.Doubled += v.Twice
	r.Over += v.Over
	r.Wrong += v.Wrong + v.Under + v.Phantom + v.Unordered
	r.Findings = append(r.Findings, v.Findings...)
	if v.Miscounted != 0 {
		r.Unrest = append(r.Unrest, fmt.Sprintf("the database counts %d places wrongly", v.Miscounted))
	}
	for _, f := range v.Figures() {
		if f.Fault {
			r.Layers = append(r.Layers, "verdict: "+f.Name)
		}
	}
}

// told takes in what was told of a campaign between two instants.
func (r *Record) told(answers []drop.Answer, from, to time.Time) {
	for _, a := range answers {
		if a.Sent.Before(from) || !a.Sent.Before(to) {
			continue
		}
		took := a.Received.Sub(a.Sent)
		r.Asked++
		if a.HTTP != 0 && took <= time.Second {
			r.Prompt++
		}
		r.Slowest = max(r.Slowest, took.Seconds())
		r.Told[a.Summary()]++
	}
}

func (r *Record) killed() (n int) {
	for _, times := range r.Kills {
		n += times
	}
	return n
}

// ledger is a file with a line a run. What is in it is on the disk.
type ledger struct {
	file    *os.File
	records []Record
}

func openLedger(path string) (*ledger, error) {
	l := &ledger{}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := content[:strings.LastIndexByte(string(content), '\n')+1] // a line that was cut off goes
	lines := bufio.NewScanner(strings.NewReader(string(whole)))
	const longest = 1 << 20
	lines.Buffer(nil, longest)
	for lines.Scan() {
		var r Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read the ledger %s: %w", path, err)
		}
		l.records = append(l.records, r)
	}
	if l.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	if err := l.file.Truncate(int64(len(whole))); err != nil {
		return nil, err
	}
	_, err = l.file.Seek(int64(len(whole)), 0)
	return l, errors.Join(lines.Err(), err)
}

func (l *ledger) add(r Record) error {
	l.records = append(l.records, r)
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return l.file.Sync()
}

func (l *ledger) close() error { return l.file.Close() }

// totals are what a table comes to.
type totals struct {
	runs, bad, kills, windows int
	kinds                     int // of fault windows
	acked                     int64
	points                    map[string]int // SIGKILLs by crash point or program
}

func sum(records []Record) totals {
	t := totals{points: map[string]int{}}
	kinds := map[string]bool{}
	for _, r := range records {
		t.runs++
		t.kills += r.killed()
		t.acked += r.Acked
		if !r.OK() {
			t.bad++
		}
		if r.Window {
			t.windows++
			kinds[r.Class] = true
		}
		for point, n := range r.Kills {
			t.points[point] += n
		}
	}
	t.kinds = len(kinds)
	return t
}

// byClass groups the records in the order in which the classes first came.
func byClass(records []Record) (names []string, groups map[string][]Record) {
	groups = map[string][]Record{}
	for _, r := range records {
		if groups[r.Class] == nil {
			names = append(names, r.Class)
		}
		groups[r.Class] = append(groups[r.Class], r)
	}
	return names, groups
}

func sortedPoints(points map[string]int) []string { return slices.Sorted(maps.Keys(points)) }
