package main

import (
	"context"
	"crypto/rand"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/setup"
	"github.com/seonchak/seonchak/tools/load/witness"
)

// restWithin is how long the consumers may take to finish what the crowd left them.
const restWithin = 5 * time.Minute

// reportFlags say where the report goes, beside standard output.
type reportFlags struct {
	json string
	svg  string
}

func (f *reportFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.json, "json", "", "`file` for the report as JSON")
	flags.StringVar(&f.svg, "svg", "", "`folder` for latency.svg and answers.svg")
}

// verdictFlags say where the rows are.
type verdictFlags struct{ dsn string }

func (f *verdictFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.dsn, "dsn", "", "`DSN` of the database: the rows are compared with the answers")
}

// judgement is what a verdict needs besides the answers.
type judgement struct {
	dsn     string                                   // "" for no verdict
	backlog func(ctx context.Context) (int64, error) // nil when it is not known
}

// verdict is one campaign's, as JSON.
type verdict struct {
	Campaign string           `json:"campaign"`
	OK       bool             `json:"ok"`
	Figures  map[string]int64 `json:"figures"`
	Findings []string         `json:"findings,omitempty"`
}

// errNothing is the end of a load that nobody got anything from: its rates say nothing.
var errNothing = errors.New("no right answer came")

// finish reports and judges. The error is errWrong where the database or an answer is, errNothing without a right answer.
func finish(c *cobra.Command, f reportFlags, result measure.Result, s setup.Setup, w *witness.Witness, j judgement) error {
	report := result.Report()
	if err := report.Write(c.OutOrStdout()); err != nil {
		return err
	}
	c.Println(s)
	if late := result.SentLate(); late != "" {
		c.PrintErrln(late)
	}
	verdicts, err := judge(c, w, j)
	if err != nil && !errors.Is(err, errWrong) {
		return err
	}
	if len(report.Faults) > 0 {
		err = errWrong
	}
	if report.Right == 0 {
		err = errors.Join(err, errNothing)
	}
	if f.svg != "" {
		err = errors.Join(err, result.WriteSVG(f.svg))
	}
	return errors.Join(err, writeJSON(f.json, struct {
		measure.Report
		Setup    setup.Setup `json:"setup"`
		Verdicts []verdict   `json:"verdicts,omitempty"` // none: rows were not compared
	}{report, s, verdicts}))
}

// judge waits until the consumers have finished, and compares. An interrupted load is judged, too.
func judge(c *cobra.Command, w *witness.Witness, j judgement) (verdicts []verdict, err error) {
	if j.dsn == "" {
		c.Println("the rows were not compared with the answers: there is no --dsn")
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), restWithin)
	defer cancel()
	db, err := drop.Open(j.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	found, err := w.Judge(ctx, db, j.backlog)
	if err != nil {
		return nil, err
	}
	for i, v := range found {
		campaign := w.Campaigns()[i]
		c.Printf("\ncampaign %s\n%s", campaign, v)
		figures := map[string]int64{}
		for _, figure := range v.Figures() {
			figures[figure.Name] = figure.Value
		}
		verdicts = append(verdicts, verdict{campaign, v.OK(), figures, v.Findings})
		if !v.OK() {
			err = errWrong
		}
	}
	return verdicts, err
}

func writeJSON(path string, value any) error {
	if path == "" {
		return nil
	}
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o600)
}

// saved is what a shard leaves for the merge.
type saved struct {
	Shard   arrival.Shard
	Result  measure.Result
	Witness witness.State
}

func save(path string, s saved) (err error) {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return gob.NewEncoder(file).Encode(s)
}

func load(path string) (s saved, err error) {
	file, err := os.Open(path)
	if err != nil {
		return saved{}, err
	}
	defer func() { _ = file.Close() }()
	if err := gob.NewDecoder(file).Decode(&s); err != nil {
		return saved{}, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// mergeCommand adds up what shards left.
func mergeCommand() *cobra.Command {
	var j verdictFlags
	var f reportFlags
	command := &cobra.Command{
		Use: "merge FILE...", Short: "add up what the shards of a run left by --out", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, paths []string) error {
			var shards []arrival.Shard
			var results []measure.Result
			var states []witness.State
			for _, path := range paths {
				s, err := load(path)
				if err != nil {
					return err
				}
				shards, results, states = append(shards, s.Shard), append(results, s.Result), append(states, s.Witness)
			}
			if err := arrival.Complete(shards); err != nil {
				return err
			}
			w, err := witness.Merge(states...)
			if err != nil {
				return err
			}
			settings := map[string]string{"shards": fmt.Sprint(len(shards))}
			return finish(c, f, measure.Merge(results...), setup.Local(settings), w, judgement{dsn: j.dsn})
		},
	}
	j.add(command.Flags())
	f.add(command.Flags())
	return command
}

func newSecret() []byte { return []byte(rand.Text() + rand.Text()) }
