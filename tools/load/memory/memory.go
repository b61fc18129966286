// Package memory measures what an api-server holds, idle and under many connections, and what a claim costs Redis.
package memory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/procs"
	"github.com/seonchak/seonchak/tools/stage"
)

// The figures.
const (
	Idle     = "api-server, idle, MB"
	Applying = "api-server, connections applying, MB"
	Floor    = "bare gin, the same connections, MB"
	Settled  = "Redis, a settled claim, B"
	Pending  = "Redis, a pending claim, B"
)

// Figure is what was measured, and what it may be at the most.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Bound float64 `json:"bound"` // 0 for none
}

// The bounds, in the units of the figures.
var bounds = map[string]float64{Idle: 60, Applying: 250, Settled: 250, Pending: 380}

const mega = 1e6

func figure(name string, value float64) Figure { return Figure{name, value, bounds[name]} }

// Options says how much is measured.
type Options struct {
	Stage       stage.Options
	Self        string        // file of this program, which also serves the floor
	Claims      int           // of Redis
	Connections int           // that apply at the api-server; 0 measures Redis alone
	Lasts       time.Duration // for so long
}

// Report is what came of it.
type Report struct {
	Figures []Figure       `json:"figures"`
	Curve   []Point        `json:"curve"`   // of Redis
	Answers map[string]int `json:"answers"` // to the connections that applied: right ones by kind, others by what they say
}

// Measure measures all of it.
func Measure(ctx context.Context, options Options) (Report, error) {
	var r Report
	if options.Connections > 0 {
		if err := r.server(ctx, options); err != nil {
			return r, fmt.Errorf("api-server: %w", err)
		}
		if err := r.floor(ctx, options); err != nil {
			return r, fmt.Errorf("floor: %w", err)
		}
	}
	curve, err := OfRedis(ctx, options.Stage.Logs, options.Claims)
	if err != nil {
		return r, fmt.Errorf("redis: %w", err)
	}
	r.Curve = curve
	full := curve[upToAMillion(curve)-1] // of a million claims, where there are so many
	r.Figures = append(r.Figures, figure(Settled, float64(full.Settled)/float64(full.Claims)),
		figure(Pending, float64(full.Pending)/float64(full.Claims)))
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
	result, err := crowd(ctx, options, drive.Options{Servers: []string{s.Address()}, Campaigns: []string{campaign}})
	if err != nil {
		return err
	}
	_, peak, err := s.Server.Memory()
	r.Figures = append(r.Figures, figure(Idle, float64(now)/mega), figure(Applying, float64(peak)/mega))
	r.Answers = answers(result)
	return err
}

// answers names what people come for by its kind, and all else by what it says: "other" would explain nothing.
func answers(result measure.Result) map[string]int {
	counts := map[string]int{}
	for kind := range told.Kinds {
		if n := result.Count(kind); n > 0 && (kind.Right() || kind == told.Unknown) {
			counts[kind.String()] = int(n)
		}
	}
	for code, n := range result.Codes {
		_, name, _ := strings.Cut(code, " ") // 503 overloaded
		counts[name] += int(n)
	}
	return counts
}

// answer is what the floor tells everybody: about as many bytes as the api-server's.
var answer = floor.Answer{
	Status: http.StatusAccepted,
	Header: map[string]string{
		"Content-Type": "application/json; charset=utf-8", "X-Request-Id": "7b3c1d6f7b3c1d6f7b3c1d6f7b3c1d6f",
		"Location": "/v1/campaigns/winter/claims/1",
	},
	Body: `{"campaign_id":"winter","user_id":"0192f3a4-1111-7abc-8def-000000000001","n":1,"status":"accepted",` +
		`"claim_id":"winter:0192f3a4-1111-7abc-8def-000000000001:1","serial":1}`,
}

// floor measures what an HTTP stack that does nothing holds for as many connections.
func (r *Report) floor(ctx context.Context, options Options) (err error) {
	content, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	file := filepath.Join(options.Stage.Logs, "answer.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return err
	}
	address, err := procs.FreeAddress()
	if err != nil {
		return err
	}
	gin, err := procs.Start(ctx, procs.Spec{
		Name: floor.Gin, Binary: options.Self, Args: []string{"serve-floor", floor.Gin, "--address", address, "--answer", file},
		Env: []string{"JWT_HMAC_SECRET="}, Log: filepath.Join(options.Stage.Logs, "floor.log"), Ready: "http://" + address + "/readyz",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gin.Stop()) }()
	at := drive.Options{Servers: []string{address}, Campaigns: []string{"winter"}, Anybody: true}
	result, err := crowd(ctx, options, at)
	if err != nil {
		return err
	}
	if right, all := result.Right(), result.Applies(); right < all-all/100 {
		return fmt.Errorf("of %d answers only %d are right: the connections were not all there", all, right)
	}
	_, peak, err := gin.Memory()
	r.Figures = append(r.Figures, figure(Floor, float64(peak)/mega))
	return err
}

// crowd applies back to back on all connections, users who never came before, all of them granted.
func crowd(ctx context.Context, options Options, at drive.Options) (measure.Result, error) {
	plan := arrival.Plan{Profile: arrival.Flat, Users: 1_000_000_000, Campaigns: 1, Seed: 1}
	over, cancel := context.WithTimeout(ctx, options.Lasts)
	defer cancel()
	at.Users, at.Connections, at.Timeout, at.Secret = arrival.NewUsers(plan.Seed), options.Connections, 10*time.Second, options.Stage.Secret
	result, err := drive.New(at, plan.Stream(arrival.Whole)).Run(over, time.Time{})
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

func (f Figure) verdict() string {
	switch {
	case f.Bound == 0:
		return ""
	case f.Value > f.Bound:
		return fmt.Sprintf("at most %.0f\tabove it", f.Bound)
	default:
		return fmt.Sprintf("at most %.0f\t", f.Bound)
	}
}

// Write writes the figures, each with its bound.
func (r Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Figures {
		_, _ = fmt.Fprintf(t, "%s\t%.1f\t%s\n", f.Name, f.Value, f.verdict()) // Flush tells
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Answers) > 0 {
		if _, err := fmt.Fprintf(w, "answers to the connections: %s; %s\n", strings.TrimPrefix(fmt.Sprint(r.Answers), "map"), r.Shares()); err != nil {
			return err
		}
	}
	return r.writeCurve(w)
}

// writeCurve writes what a claim cost at each point.
func (r Report) writeCurve(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(t, "claims\tµs a claim\tB pending\tforks\tms the last\t\n") // Flush tells
	for _, p := range r.Curve {
		_, _ = fmt.Fprintf(t, "%s\t%.2f\t%.0f\t%d\t%.0f\t\n", drop.Number(int64(p.Claims)), p.Cost.Seconds()*1e6,
			float64(p.Pending)/float64(p.Claims), p.Forks, p.Fork.Seconds()*1e3)
	}
	return t.Flush()
}

// granted are the kinds of answers whose users got a place.
var granted = []told.Kind{told.Accepted, told.Issued, told.Pending}

// Shares says which share of the answers gave their users a place, by kind.
func (r Report) Shares() string {
	all := 0
	for _, n := range r.Answers {
		all += n
	}
	var shares []string
	for _, kind := range granted {
		shares = append(shares, fmt.Sprintf("%s %.1f %%", kind, 100*float64(r.Answers[kind.String()])/float64(max(all, 1))))
	}
	return strings.Join(shares, ", ") + " of the answers"
}
