// Package compare measures the programs and the floors below them by turns, so that what disturbs the machine disturbs
// both, and says by which part of its floor each path of an apply is slower.
package compare

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
)

// Round is one turn of one contender.
type Round struct {
	Right  int64         `json:"right"` // answers of the kinds that the path is about
	Other  int64         `json:"other"` // all others: they count for nothing
	Took   time.Duration `json:"took_ns"`
	Server time.Duration `json:"server_cpu_ns"` // processor time of the program under load; 0 when not known
	Client time.Duration `json:"client_cpu_ns"` // processor time of this process
}

// Rate returns right answers a second.
func (r Round) Rate() float64 { return float64(r.Right) / r.Took.Seconds() }

// contender is whose speed is measured.
type contender struct {
	name  string
	round func(ctx context.Context) (Round, error)
}

// counting hands out users who never came before.
type counting struct{ next uint64 }

// Next returns an apply of a new user for the first campaign.
func (c *counting) Next() (arrival.Apply, bool) {
	c.next++
	return arrival.Apply{User: c.next}, true
}

// cycling hands out the same users again and again.
type cycling struct{ next, count uint64 }

// Next returns an apply of the next user for the first campaign.
func (c *cycling) Next() (arrival.Apply, bool) {
	c.next = (c.next + 1) % c.count
	return arrival.Apply{User: c.next}, true
}

// timed ends a source after a while, which begins with the first apply.
type timed struct {
	drive.Source
	lasts time.Duration
	end   time.Time
}

// Next returns the next apply while there is time.
func (t *timed) Next() (arrival.Apply, bool) {
	if t.end.IsZero() {
		t.end = time.Now().Add(t.lasts)
	}
	if time.Now().After(t.end) {
		return arrival.Apply{}, false
	}
	return t.Source.Next()
}

// applicants are a crowd at one server.
type applicants struct {
	options drive.Options
	source  func() drive.Source                               // for a round
	kinds   []told.Kind                                       // that count
	pids    []int                                             // of the programs whose processor time counts
	example string                                            // campaign whose answer the floors repeat; "" for the one of the round
	settle  func(ctx context.Context, r measure.Result) error // after a round; its processor time counts
}

func (a applicants) round(ctx context.Context) (Round, error) {
	before, err := processorTime(a.pids)
	if err != nil {
		return Round{}, err
	}
	result, err := drive.New(a.options, a.source()).Run(ctx, time.Time{})
	if err != nil {
		return Round{}, err
	}
	if a.settle != nil {
		if err := a.settle(ctx, result); err != nil {
			return Round{}, err
		}
	}
	after, err := processorTime(a.pids)
	if err != nil {
		return Round{}, err
	}
	r := Round{Took: result.Took, Server: after - before, Client: result.Client}
	for _, kind := range a.kinds {
		r.Right += result.Count(kind)
	}
	r.Other = result.Applies() - r.Right
	if len(result.Faults) > 0 {
		err = fmt.Errorf("answers break the contract: %v", result.Faults)
	}
	return r, err
}

// onStore makes a contender of a floor without HTTP.
func onStore(name string, store *floor.Store, lasts time.Duration) contender {
	return contender{name, func(ctx context.Context) (Round, error) {
		before, err := processorTime([]int{os.Getpid()})
		if err != nil {
			return Round{}, err
		}
		claims, took, err := store.Round(ctx, lasts)
		if err != nil {
			return Round{}, fmt.Errorf("floor %s: %w", name, err)
		}
		after, err := processorTime([]int{os.Getpid()})
		return Round{Right: claims, Took: took, Client: after - before}, err
	}}
}

// tick is the unit of the kernel's processor times, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// processorTime returns what the processes have used, user and system.
func processorTime(pids []int) (used time.Duration, err error) {
	for _, pid := range pids {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("processor time: %w", err)
		}
		ticks, err := ticksOf(string(content))
		if err != nil {
			return 0, fmt.Errorf("processor time of %d: %w", pid, err)
		}
		used += time.Duration(ticks) * tick
	}
	return used, nil
}

// ticksOf adds up fields 14 and 15. The second field is a name in parentheses that may hold anything, spaces too.
func ticksOf(stat string) (int64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("no stat: %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return user + system, err
}
