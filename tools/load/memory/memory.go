// Package memory measures what an api-server holds, idle and under many connections, and what a claim costs Redis.
package memory

import (
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/stage"
)

// The figures.
const (
	Idle     = "api-server, idle, MB"
	Applying = "api-server, connections applying, MB"
	Settled  = "Redis, a settled claim, B"
	Pending  = "Redis, a pending claim, B"
)

// Figure is what was measured, and what it may be at the most.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Bound float64 `json:"bound"`
}

// The bounds, in the units of the figures.
var bounds = map[string]float64{Idle: 60, Applying: 250, Settled: 250, Pending: 380}

const mega = 1e6

func figure(name string, value float64) Figure { return Figure{name, value, bounds[name]} }

// Options says how much is measured.
type Options struct {
	Stage       stage.Options
	Claims      int           // of Redis
	Connections int           // that apply at the api-server
	Lasts       time.Duration // for so long
}

// Report is what came of it.
type Report struct {
	Figures []Figure       `json:"figures"`
	Curve   []Point        `json:"curve"`   // of Redis
	Answers map[string]int `json:"answers"` // to the connections that applied, by kind
}

// Measure measures all of it.
func Measure(ctx context.Context, options Options) (Report, error) {
	var r Report
	if err := r.server(ctx, options); err != nil {
		return r, fmt.Errorf("api-server: %w", err)
	}
	curve, err := OfRedis(ctx, options.Stage.Logs, options.Claims)
	if err != nil {
		return r, fmt.Errorf("redis: %w", err)
	}
	last := curve[len(curve)-1]
	r.Curve = curve
	r.Figures = append(r.Figures, figure(Settled, float64(last.Settled)/float64(last.Claims)),
		figure(Pending, float64(last.Pending)/float64(last.Claims)))
	return r, nil
}

// idles is how long a server rests before it counts as idle: long enough for what its start left behind.
const idles = 3 * time.Second

func (r *Report) server(ctx context.Context, options Options) (err error) {
	if err := allowFiles(options.Connections); err != nil {
		return err
	}
	s, err := stage.New(ctx, options.Stage)
	if err != nil {
		return err
	}
	defer func() {
		if failed := s.Close(); err == nil {
			err = failed
		}
	}()
	campaign, err := s.Open(ctx, 1_000_000_000)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idles):
	}
	now, _, err := s.Server.Memory()
	if err != nil {
		return err
	}
	result, err := crowd(ctx, options, s.Address(), campaign)
	if err != nil {
		return err
	}
	_, peak, err := s.Server.Memory()
	r.Figures = append(r.Figures, figure(Idle, float64(now)/mega), figure(Applying, float64(peak)/mega))
	r.Answers = map[string]int{}
	for _, k := range result.Report().Kinds {
		if k.Count > 0 {
			r.Answers[k.Kind] = int(k.Count)
		}
	}
	return err
}

// crowd applies back to back on all connections, users who never came before, all of them granted.
func crowd(ctx context.Context, options Options, address, campaign string) (measure.Result, error) {
	plan := arrival.Plan{Profile: arrival.Flat, Users: 1_000_000_000, Campaigns: 1, Seed: 1}
	over, cancel := context.WithTimeout(ctx, options.Lasts)
	defer cancel()
	result, err := drive.New(drive.Options{
		Servers: []string{address}, Campaigns: []string{campaign}, Users: arrival.NewUsers(plan.Seed),
		Connections: options.Connections, Timeout: 10 * time.Second, Secret: options.Stage.Secret,
	}, plan.Stream(arrival.Whole)).Run(over, time.Time{})
	switch {
	case err != nil:
		return result, err
	case ctx.Err() != nil:
		return result, ctx.Err()
	case len(result.Faults) > 0 || result.Right() == 0:
		return result, fmt.Errorf("the answers are not right: %v %v", result.Codes, result.Faults)
	}
	return result, nil
}

// otherFiles is how many a program may have open besides its connections.
const otherFiles = 200

// allowFiles lets this process and those that it starts have so many connections, where the system allows it.
func allowFiles(connections int) error {
	needed := uint64(connections) + otherFiles
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= needed {
		return nil
	}
	raised := syscall.Rlimit{Cur: needed, Max: max(limit.Max, needed)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		return fmt.Errorf("%d connections need a limit of %d open files (ulimit -n), it is %d: %w", connections, needed, limit.Max, err)
	}
	return nil
}

// Write writes the figures, each with its bound.
func (r Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Figures {
		verdict := ""
		if f.Value > f.Bound {
			verdict = "above it"
		}
		_, _ = fmt.Fprintf(t, "%s\t%.1f\tat most %.0f\t%s\n", f.Name, f.Value, f.Bound, verdict) // Flush tells
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "answers to the connections: %s\n", strings.TrimPrefix(fmt.Sprint(r.Answers), "map"))
	return err
}
