package report

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// notMeasured is what no measurement of this kind can tell.
var notMeasured = []string{
	"Anything but this one machine: client, programs and stores share its cores and its loopback. A ratio carries over better than a rate.",
	"A network: its latency, its losses, TLS.",
	"Kafka with replicas: there is one broker, so acks of all are the acks of one. Redis with a replica or as a cluster, MySQL with a replica.",
	"The moment of a COMMIT: a row counts as made at the time that stands in it, which is some milliseconds earlier.",
	"Power loss and slow disks: what the stores flush, and when, is their configuration here.",
	"Hours: a round lasts seconds. Growth over days, compaction, and retention are not in it.",
	"Tokens of other kinds than HS256 with one secret: keys from a JWKS URL cost more to verify.",
}

// Write writes load-report.md and, in load-report/, its charts.
func (m *Measurements) Write(dir string) error {
	charts, err := m.draw(filepath.Join(dir, "load-report"))
	if err != nil {
		return err
	}
	var text bytes.Buffer
	m.write(&text, charts)
	return os.WriteFile(filepath.Join(dir, "load-report.md"), text.Bytes(), 0o644) //nolint:gosec // a document, for everybody to read
}

func (m *Measurements) write(w io.Writer, charts []chart) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) } // to memory
	say("# Load report\n\nWritten by `make report`; do not edit. How to read it: a ratio is of two things measured by turns in one run, the")
	say("median of the rounds with the lowest and the highest. Only right answers count, and the promises of grants and drops were compared with the rows.\n")
	m.writeSetup(say)
	missing := m.writeTargets(say)
	m.writeRates(say)
	missing = append(missing, m.writeOpen(say)...)
	missing = append(missing, m.writeBacklog(say)...)
	missing = append(missing, m.writeCost(say)...)
	say("\n## Curves\n")
	for _, c := range charts {
		if c.drawn {
			say("![%s](load-report/%s)\n", c.title, c.file)
		} else {
			missing = append(missing, "The curve: "+c.title+".")
		}
	}
	say("## What is not measured\n")
	for _, text := range slices.Concat(missing, notMeasured) {
		say("- %s", text)
	}
	say("\n## Commands\n\nOn a machine that does nothing else. `make report` leaves out what is in bin/report; `rm -r bin/report` begins anew.\n\n```")
	say(`eval "$(scripts/services.sh env)"`)
	for _, command := range m.commands {
		say("%s", command)
	}
	say("```")
}

func (m *Measurements) writeSetup(say func(string, ...any)) {
	const giga = 1 << 30
	s := m.setup
	say("| | |\n|---|---|")
	say("| date | %s |", s.Time.Format("2006-01-02 15:04 UTC"))
	say("| machine | %d cores of %s, %.0f GiB, %s, kernel %s |", s.Machine.Cores, s.Machine.Model, float64(s.Machine.Memory)/giga, s.Machine.OS,
		s.Machine.Kernel)
	for _, name := range slices.Sorted(maps.Keys(s.Versions)) {
		say("| %s | %s |", name, s.Versions[name])
	}
}
