package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// outcome is what every job's result can tell.
type outcome interface {
	OK() bool        // nothing is left that somebody must look at
	Summary() string // one line
}

// runs is the book of runs. A row that is never finished was killed.
type runs interface {
	StartRun(ctx context.Context, job string) (int64, error)
	FinishRun(ctx context.Context, id int64, ok bool, summary []byte) error
}

// errNotOK ends a run that did all it could and has bad news.
var errNotOK = errors.New("something is left to look at")

// runner runs a job, once or on a schedule, and says how it went.
type runner struct {
	job     string
	runs    runs
	founds  bool // the run makes the table of runs where there is none, and is then recorded at its end
	flags   flags
	work    func(ctx context.Context) (outcome, error)
	show    func(outcome) error // writes the result in full; nil: the summary says all
	summary io.Writer
	logger  *slog.Logger
}

// run returns the error of a single run. On a schedule a failing run is logged and the next one comes all the same, until
// ctx ends.
func (r runner) run(ctx context.Context) error {
	if r.flags.every == 0 {
		err := r.once(ctx)
		if err != nil && ctx.Err() != nil {
			// Not wrapped: a signal is an orderly end of a schedule, but work that was cut short is not done.
			return fmt.Errorf("%s was ended before it was done: %v", r.job, err) //nolint:errorlint // see above
		}
		return err
	}
	tick := time.NewTicker(r.flags.every)
	defer tick.Stop()
	for {
		if err := r.once(ctx); err != nil && ctx.Err() == nil {
			r.logger.Error("run failed", "job", r.job, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r runner) once(ctx context.Context) error {
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, r.flags.timeout)
	defer cancel()
	finish, err := r.begin(bounded)
	if err != nil {
		return err
	}
	result, err := r.work(bounded)
	if err == nil && !result.OK() {
		err = errNotOK
	}
	_, printing := fmt.Fprintf(r.summary, "%s: %s, took %s\n", r.job, result.Summary(), time.Since(began).Round(time.Millisecond))
	if r.show != nil {
		printing = errors.Join(printing, r.show(result))
	}
	return errors.Join(wrap(r.job, err), finish(result, err), wrap("write the result", printing))
}

// begin writes down that the run began, and returns what writes down how it ended: also of one that is cut short.
func (r runner) begin(ctx context.Context) (finish func(outcome, error) error, err error) {
	id, missing := r.runs.StartRun(ctx, r.job)
	if missing != nil && !r.founds {
		return nil, fmt.Errorf("record the run: %w", missing)
	}
	return func(result outcome, failure error) error {
		const bound = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
		defer cancel()
		if missing != nil {
			id, missing = r.runs.StartRun(ctx, r.job)
		}
		if missing != nil && failure != nil {
			return nil // the run could not make the table: the exit code alone says it
		}
		if missing != nil {
			return fmt.Errorf("record the run: %w", missing)
		}
		return wrap("record the run", r.runs.FinishRun(ctx, id, failure == nil, record(result, failure)))
	}, nil
}

// record is the result as batch_runs keeps it.
func record(result outcome, failure error) []byte {
	entry := struct {
		Result outcome `json:"result"`
		Error  string  `json:"error,omitempty"`
	}{Result: result}
	if failure != nil {
		entry.Error = failure.Error()
	}
	text, err := json.Marshal(entry)
	if err != nil {
		text, _ = json.Marshal(map[string]string{"error": err.Error()}) // a map of strings cannot fail
	}
	return text
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
