// Package warden watches the claim state of every campaign and has what is lost fenced and rebuilt.
package warden

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	every       = 500 * time.Millisecond
	recordBound = 2 * time.Second // of one question to the record, or to the log
	lookBound   = time.Second     // of one look at Redis
	quiet       = 5 * time.Second // between two log lines about the same trouble
	// rest follows a fence that failed: what made it fail is seldom over within a tick.
	rest = 2 * time.Second
	// otherLeads is the detail of the record's error while another warden leads.
	otherLeads = "another warden leads"
)

// record says which campaigns there are to watch.
type record interface {
	Watched(ctx context.Context) ([]coupon.Campaign, error)
}

// stock looks at claim state. It must answer in the order given, coupon.Unreachable where nothing is known.
type stock interface {
	Look(ctx context.Context, campaigns []*coupon.Campaign) []coupon.Health
}

// fence is the repair. Rebuild and Open must be safe to repeat and to be done by two wardens at once; Stands says, in words for
// the log, what a Rebuild at work waits for.
type fence interface {
	Rebuild(ctx context.Context, campaigns []coupon.Campaign, mode coupon.Mode) error
	Open(ctx context.Context, c coupon.Campaign) error
	Stands() string
}

// log is the log, without which no fence can end. Ping must be nil only when one begun now could end.
type log interface {
	Ping(ctx context.Context) error
}

// pace is the limit this process puts on its own issuing. Lift may be called again and again.
type pace interface {
	Lift(lifted bool)
}

// Lead is the right to act, of one warden at a time.
type Lead interface {
	Held(ctx context.Context) error // nil while it is this warden's
	Release()
}

// Parts are what a Warden works with. Every field must be set.
type Parts struct {
	Record  record
	Lead    func(ctx context.Context) (Lead, error) // an error with the detail otherLeads while another warden does
	Stock   stock
	Fence   fence
	Log     log
	Pace    pace
	Now     func() time.Time // a monotonic clock, as time.Now is
	Metrics *Metrics
	Logger  *slog.Logger
}

// Warden is run in every consumer; one of them leads and acts, the others stand by.
type Warden struct {
	Parts
	lead    Lead // nil while another leads
	memory  map[string]*memory
	fencing *fencing
	resting time.Time // no fence begins before

	silence, trouble, slow, unled rate.Sometimes // each is logged now and then, not every time
}

// New returns a Warden.
func New(parts Parts) *Warden {
	return &Warden{
		Parts: parts, memory: map[string]*memory{},
		silence: rate.Sometimes{Interval: quiet}, trouble: rate.Sometimes{Interval: quiet},
		slow: rate.Sometimes{Interval: quiet}, unled: rate.Sometimes{Interval: quiet},
	}
}

// Run watches until ctx ends, and then gives up its lead and the fence it may be in the middle of: whoever leads next
// goes on with it from what MySQL says.
func (w *Warden) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	defer w.standDown()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// look is one round.
func (w *Warden) look(ctx context.Context) {
	leads := w.leads(ctx)
	campaigns, err := w.watched(ctx)
	if err != nil {
		w.silence.Do(func() { w.Logger.Warn("the campaigns to watch cannot be read", "error", err) })
		return
	}
	w.Metrics.show(campaigns)
	w.Pace.Lift(anyFencing(campaigns))
	if leads {
		w.judge(ctx, campaigns)
	}
}

func (w *Warden) watched(ctx context.Context) ([]coupon.Campaign, error) {
	ctx, cancel := context.WithTimeout(ctx, recordBound)
	defer cancel()
	return w.Record.Watched(ctx)
}

// anyFencing reports whether somebody waits for the log to be drained: every consumer then works as fast as it can.
func anyFencing(campaigns []coupon.Campaign) bool {
	for i := range campaigns {
		if campaigns[i].EpochState == coupon.EpochFencing {
			return true
		}
	}
	return false
}

// leads reports whether this warden is the one to act, and tries to become it.
func (w *Warden) leads(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, recordBound)
	defer cancel()
	if w.lead != nil {
		err := w.lead.Held(ctx)
		if err == nil {
			return true
		}
		w.Logger.Warn("the lead is lost", "error", err)
		w.standDown()
	}
	lead, err := w.Lead(ctx)
	if err != nil {
		w.tellUnled(err)
		return false
	}
	w.lead = lead
	w.Logger.Info("this warden leads")
	return true
}

// tellUnled logs why this warden cannot lead, unless it is that another does.
func (w *Warden) tellUnled(err error) {
	var e *coupon.Error
	if errors.As(err, &e) && e.Detail == otherLeads {
		return
	}
	w.unled.Do(func() { w.Logger.Warn("this warden cannot ask for the lead", "error", err) })
}

// standDown ends what only a leader may do, and forgets what it alone has seen.
func (w *Warden) standDown() {
	w.fencing.stop()
	w.fencing = nil
	clear(w.memory)
	if w.lead != nil {
		w.lead.Release()
		w.lead = nil
	}
}

// judge looks at the claim state of all campaigns, and begins what they need unless a fence is at work already.
func (w *Warden) judge(ctx context.Context, campaigns []coupon.Campaign) {
	healths := w.healths(ctx, campaigns)
	if ctx.Err() != nil {
		return // an answer that was cut short says nothing about Redis
	}
	now := w.Now()
	w.remember(campaigns, healths, now)
	if w.busy(now) {
		return
	}
	var j job
	for i := range campaigns {
		c := &campaigns[i]
		j.add(c, decide(c, healths[i], w.memory[c.ID], now))
	}
	j.thin()
	w.begin(ctx, j, now)
}

func (w *Warden) healths(ctx context.Context, campaigns []coupon.Campaign) []coupon.Health {
	ctx, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	all := make([]*coupon.Campaign, len(campaigns))
	for i := range campaigns {
		all[i] = &campaigns[i]
	}
	return w.Stock.Look(ctx, all)
}

// remember takes in what was found, and forgets campaigns that are not watched any more.
func (w *Warden) remember(campaigns []coupon.Campaign, healths []coupon.Health, now time.Time) {
	kept := make(map[string]*memory, len(campaigns))
	for i := range campaigns {
		id := campaigns[i].ID
		kept[id] = w.memory[id]
		if kept[id] == nil {
			kept[id] = new(memory)
		}
		kept[id].note(&campaigns[i], healths[i], now)
	}
	w.memory = kept
}
