// Package compare measures the programs and the floors below them by turns, so that what disturbs the machine disturbs
// both, and says by which part of its floor each path of an apply is slower.
package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
)

// Round is one turn of one contender.
type Round struct {
	Right   int64         `json:"right"` // answers of the kinds that the path is about
	Other   int64         `json:"other"` // all others: they count for nothing
	Took    time.Duration `json:"took_ns"`
	Offered float64       `json:"offered,omitempty"` // of Latency: applies a second by the plan
	Server  time.Duration `json:"server_cpu_ns"`     // processor time of the program under load; 0 when not known
	Client  time.Duration `json:"client_cpu_ns"`     // processor time of this process

	P50        time.Duration  `json:"p50_ns,omitempty"` // of the right answers, from the intended time
	P99        time.Duration  `json:"p99_ns,omitempty"`
	FromMemory float64        `json:"from_memory,omitempty"` // of Refusal: share of the refusals that asked nobody
	Drain      *time.Duration `json:"drain_ns,omitempty"`    // from the last promise to the last row, where a consumer runs
	Drained    *Drained       `json:"drained,omitempty"`     // of Backlog
	Course     []Moment       `json:"course,omitempty"`      // of Drop and Drain
	Wrong      string         `json:"wrong,omitempty"`       // why no answer of the round counts
}

// Moment is by when a share of the coupons were promised, and by when they were rows, both after the first promise.
type Moment struct {
	Share    float64       `json:"share"`
	Promised time.Duration `json:"promised_ns"`
	Issued   time.Duration `json:"issued_ns"`
}

// course has a moment for each hundredth of the coupons.
func course(promised, issued []time.Time) (moments []Moment) {
	const steps = 100
	if len(promised) == 0 || len(issued) == 0 {
		return nil
	}
	at := func(times []time.Time, step int) time.Duration {
		return times[(len(times)-1)*step/steps].Sub(promised[0])
	}
	for step := range steps + 1 {
		moments = append(moments, Moment{float64(step) / steps, at(promised, step), at(issued, step)})
	}
	return moments
}

// Rate returns right answers a second.
func (r Round) Rate() float64 { return float64(r.Right) / r.Took.Seconds() }

// ServerCPU returns how many seconds of processor time 1,000 right answers took the program under load.
func (r Round) ServerCPU() float64 { return perThousand(r.Server, r.Right) }

// contender is whose speed is measured.
type contender struct {
	name  string
	round func(ctx context.Context) (Round, error)
}

// applicants are a crowd at one server.
type applicants struct {
	options    drive.Options
	source     func(*applicants) drive.Source                // for a round; it may set the options' Witness
	kinds      []told.Kind                                   // that count
	pids       []int                                         // of the programs whose processor time counts
	example    string                                        // campaign whose answer the floors repeat; "" for the one of the round
	asks       uint64                                        // user whose answer it is
	fromMemory func(context.Context) (float64, error)        // how many refusals asked nobody so far; nil where that does not matter
	settle     func(ctx context.Context, round *Round) error // after a round; its processor time counts
	finish     func(context.Context) error                   // after all rounds
	judged     int64                                         // rows that agree with what was told
	say        func(format string, args ...any)
}

// leastFromMemory is the share of the refusals for which nobody may be asked.
const leastFromMemory = 0.99

func (a *applicants) round(ctx context.Context) (Round, error) {
	source := a.source(a)
	before, err := processorTime(a.pids)
	if err != nil {
		return Round{}, err
	}
	remembered, err := a.remembered(ctx)
	if err != nil {
		return Round{}, err
	}
	result, err := drive.New(a.options, source).Run(ctx, time.Time{})
	if err != nil {
		return Round{}, err
	}
	r, err := a.count(ctx, result)
	if err != nil {
		return r, err
	}
	if err := a.audit(ctx, &r, result, remembered); err != nil {
		return r, err
	}
	if a.settle != nil {
		if err := a.settle(ctx, &r); err != nil {
			return r, err
		}
	}
	after, err := processorTime(a.pids)
	r.Server = after - before
	return r, err
}

func (a *applicants) count(ctx context.Context, result measure.Result) (Round, error) {
	r := Round{
		Took: result.Took, Client: result.Client,
		P50: result.Percentile(50, a.kinds...), P99: result.Percentile(99, a.kinds...),
	}
	for _, kind := range a.kinds {
		r.Right += result.Count(kind)
	}
	r.Other = result.Applies() - r.Right
	if late := result.SentLate(); late != "" {
		a.say("%s\n", late)
	}
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case len(result.Faults) > 0:
		return r, fmt.Errorf("answers break the contract: %v", result.Faults)
	case r.Right == 0:
		return r, fmt.Errorf("no right answer came; of %d answers: %v", result.Applies(), result.Codes)
	}
	return r, nil
}

func (a *applicants) remembered(ctx context.Context) (float64, error) {
	if a.fromMemory == nil {
		return 0, nil
	}
	return a.fromMemory(ctx)
}

// audit lets a round count for nothing when too many refusals asked somebody.
func (a *applicants) audit(ctx context.Context, r *Round, result measure.Result, before float64) error {
	if a.fromMemory == nil {
		return nil
	}
	after, err := a.fromMemory(ctx)
	if err != nil {
		return err
	}
	r.FromMemory = (after - before) / float64(max(result.Count(told.SoldOut), 1))
	if r.FromMemory < leastFromMemory {
		r.Wrong = fmt.Sprintf("only %.1f %% of the refusals came from memory", 100*r.FromMemory)
		r.Right, r.Other = 0, result.Applies()
	}
	return nil
}

var memoryCounter = regexp.MustCompile(`(?m)^coupon_sold_out_from_memory_total (\S+)$`)

// refusedFromMemory reads how many applies an api-server has refused without asking Redis.
func refusedFromMemory(ctx context.Context, admin string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	found := memoryCounter.FindSubmatch(body)
	if found == nil {
		return 0, fmt.Errorf("%s/metrics (%s) has no coupon_sold_out_from_memory_total", admin, response.Status)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// onStore makes a contender of a floor without HTTP.
func onStore(name string, store *floor.Store, lasts time.Duration) contender {
	return contender{name, func(ctx context.Context) (Round, error) {
		before, err := processorTime([]int{os.Getpid()})
		if err != nil {
			return Round{}, err
		}
		claims, took, err := store.Round(ctx, lasts)
		if err == nil && claims == 0 && ctx.Err() == nil {
			err = errors.New("nothing came through")
		}
		if err != nil {
			return Round{}, fmt.Errorf("floor %s: %w", name, err)
		}
		after, err := processorTime([]int{os.Getpid()})
		return Round{Right: claims, Took: took, Client: after - before}, err
	}}
}
