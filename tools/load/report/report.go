// Package report writes what a folder of measurements came to: the targets and what was measured, curves, on which machine,
// by which commands, and what was not measured.
package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/seonchak/seonchak/tools/load/compare"
	"github.com/seonchak/seonchak/tools/load/memory"
	"github.com/seonchak/seonchak/tools/load/setup"
)

// Comparison is what load compare and load floors write.
type Comparison struct {
	Setup setup.Setup   `json:"setup"`
	Rows  []compare.Row `json:"rows"`
}

// Memory is what load memory writes.
type Memory struct {
	Setup setup.Setup `json:"setup"`
	memory.Report
}

// Measurements are a folder of them: NAME.json of the load tool, NAME.txt of a Go benchmark, NAME.command of how each was
// made, in its first line, and of which commit, in its second.
type Measurements struct {
	comparisons map[string]Comparison
	memory      *Memory
	claims      *Memory                         // of Redis alone, with more claims
	benchmarks  map[string]map[string][]float64 // name of the file, unit
	commands    []string
	commits     map[string]string // name of the file
	setup       setup.Setup       // of the first
}

// The files that load memory wrote; the others are of load compare.
const (
	memoryFile = "memory"
	claimsFile = "claims"
)

// What begins the names of comparisons that differ from each other by a number.
const (
	callersFile = "callers-" // connections
	openFile    = "open-"    // campaigns
)

// endToEndFile is a comparison of backlogs that are small enough for several rounds.
const endToEndFile = "issue-kafka"

// Read reads a folder. Measurements of several commits or machines are an error: they are no one report.
func Read(dir string) (*Measurements, error) {
	m := &Measurements{comparisons: map[string]Comparison{}, benchmarks: map[string]map[string][]float64{}, commits: map[string]string{}}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var setups []setup.Setup
	for _, file := range files {
		s, err := m.read(dir, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		if s != nil {
			setups = append(setups, *s)
		}
	}
	if len(setups) == 0 {
		return nil, fmt.Errorf("no measurement is in %s", dir)
	}
	m.setup = setups[0]
	return m, errors.Join(one(setups), m.sameCommit())
}

// sameCommit returns an error unless the benchmarks, which do not say it themselves, are of the commit of the others.
func (m *Measurements) sameCommit() error {
	for _, name := range slices.Sorted(maps.Keys(m.benchmarks)) {
		if commit := m.setup.Versions["commit"]; m.commits[name] != commit {
			return fmt.Errorf("%s.txt is of commit %q, others are of %s; remove what is old", name, m.commits[name], commit)
		}
	}
	return nil
}

func (m *Measurements) read(dir string, file fs.DirEntry) (*setup.Setup, error) {
	path, kind := filepath.Join(dir, file.Name()), filepath.Ext(file.Name())
	name := strings.TrimSuffix(file.Name(), kind)
	switch {
	case kind == ".command":
		content, err := os.ReadFile(path)
		command, commit, _ := strings.Cut(strings.TrimSpace(string(content)), "\n")
		m.commands = append(m.commands, command)
		m.commits[name] = strings.TrimPrefix(commit, "commit ")
		return nil, err
	case kind == ".txt":
		values, err := readBenchmark(path)
		m.benchmarks[name] = values
		return nil, err
	case kind == ".json" && name == memoryFile:
		m.memory = &Memory{}
		return &m.memory.Setup, readJSON(path, m.memory)
	case kind == ".json" && name == claimsFile:
		m.claims = &Memory{}
		return &m.claims.Setup, readJSON(path, m.claims)
	case kind == ".json":
		var c Comparison
		err := readJSON(path, &c)
		m.comparisons[name] = c
		return &c.Setup, err
	}
	return nil, nil
}

func readJSON(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// readBenchmark returns the values of each unit that the benchmarks of a file report.
func readBenchmark(path string) (_ map[string][]float64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	values := map[string][]float64{}
	reader := benchfmt.NewReader(bufio.NewReader(file), path)
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		for _, v := range result.Values {
			values[v.Unit] = append(values[v.Unit], v.Value)
		}
	}
	if len(values) == 0 {
		return nil, errors.Join(errors.New("no benchmark is in it"), reader.Err())
	}
	return values, reader.Err()
}

// one returns an error unless all setups are of one commit, one machine and the same stores.
func one(setups []setup.Setup) error {
	for _, s := range setups {
		if s.Machine != setups[0].Machine {
			return fmt.Errorf("measured on two machines: %+v and %+v", setups[0].Machine, s.Machine)
		}
		for name, version := range setups[0].Versions {
			if s.Versions[name] != version {
				return fmt.Errorf("measured with %s %s and %s; remove what is old", name, version, s.Versions[name])
			}
		}
	}
	return nil
}

// row returns the first row of a comparison that is the one wanted.
func (m *Measurements) row(file string, wanted func(compare.Row) bool) *compare.Row {
	rows := m.comparisons[file].Rows
	i := slices.IndexFunc(rows, wanted)
	if i < 0 {
		return nil
	}
	return &rows[i]
}

// numbered is a row of one of several files that differ by a number.
type numbered struct {
	number int
	row    *compare.Row
}

// numbered returns the rows of a path in the files whose names are prefix and a number, in the order of the numbers.
func (m *Measurements) numbered(prefix, path string) (all []numbered) {
	for file := range m.comparisons {
		name, is := strings.CutPrefix(file, prefix)
		number, err := strconv.Atoi(name)
		if row := m.row(file, of(path)); is && err == nil && row != nil {
			all = append(all, numbered{number, row})
		}
	}
	slices.SortFunc(all, func(a, b numbered) int { return a.number - b.number })
	return all
}

// of wants the row of a path at its full rate.
func of(path string) func(compare.Row) bool {
	return func(r compare.Row) bool { return r.Path == path && r.Share == 0 }
}
