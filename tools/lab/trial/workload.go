package trial

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/lab/strategy"
)

// The workloads.
const (
	Drop        = "drop"         // every user comes once
	DoubleClick = "double-click" // every user clicks 5 times at once
	Contention  = "contention"   // points are added to one user's account by many at once
	Booking     = "booking"      // many want one seat, and who has it gives it back, but for the last
	Members     = "members"      // every user gets a place, to see what they take in Redis
)

// Workloads are all of them.
var Workloads = []string{Drop, DoubleClick, Contention, Booking, Members}

// The sizes that are the same for all strategies.
const (
	Usual   = 64    // connections of all trials but the sweep's and the booking's
	Adds    = 1_280 // of a contention
	Seekers = 100   // of a booking
)

// Sweep are the connections of a drop at one server, one after the other.
var Sweep = []int{4, 16, Usual, 256}

// Remembering is the strategy that Members is for: all it knows is the set of those who were here.
const Remembering = "redis-set"

// Growth are the users of Members, one trial after the other.
var Growth = []int{1_000, 10_000, 100_000}

const (
	clicks  = 5
	cancels = 3
	account = "account"
)

// Case is one trial.
type Case struct {
	Strategy    string `json:"strategy"`
	Workload    string `json:"workload"`
	Servers     int    `json:"servers"`
	Crash       bool   `json:"crash"` // a server dies halfway and is started again
	Connections int    `json:"connections"`
	Applies     int    `json:"applies"`
	Limit       int    `json:"limit"`
}

// Product reports whether the product itself is tried.
func (c Case) Product() bool { return c.Strategy == Pipeline || c.Strategy == PipelinePaced }

func (c Case) users() []string {
	if c.Workload != DoubleClick {
		return drop.Users(c.Applies)
	}
	var users []string
	for _, user := range drop.Users(c.Applies / clicks) {
		users = append(users, slices.Repeat([]string{user}, clicks)...)
	}
	return users
}

// attend sends the crowd of a case.
func (c *Crowd) attend(ctx context.Context, which Case) {
	switch which.Workload {
	case Contention:
		c.add(ctx, which)
	case Booking:
		c.book(ctx, which)
	default:
		c.come(ctx, which.Connections, which.users())
	}
}

// add does not insist where something may have been done: points have no name by which a repeat is known.
func (c *Crowd) add(ctx context.Context, which Case) {
	var next atomic.Int64
	c.each(which.Connections, func(d *door) {
		for ctx.Err() == nil && next.Add(1) <= int64(which.Applies) {
			begin := time.Now()
			t := d.post("/v1/points", account)
			for t.outcome == busy && time.Since(begin) < patience {
				c.repeats.Add(1)
				<-time.After(pause)
				t = d.post("/v1/points", account)
			}
			if t.outcome == unknown {
				<-time.After(pause)
			}
			c.note(t)
			c.end(time.Since(begin), t)
			c.done.Add(1)
		}
	})
}

// book lets each connection be a user who asks for the seat until the last has it.
func (c *Crowd) book(ctx context.Context, which Case) {
	users := drop.Users(which.Connections)
	var next, cancelled atomic.Int64
	ctx, done := context.WithCancel(ctx)
	defer done()
	c.each(which.Connections, func(d *door) {
		user := users[next.Add(1)-1]
		for ctx.Err() == nil {
			t := d.insist(func() try { return d.apply(user) })
			switch {
			case !t.holder():
				<-time.After(pause)
			case cancelled.Add(1) > cancels:
				done()
				c.done.Store(int64(which.Applies))
				return
			default:
				c.giveBack(d, user)
				c.done.Add(1)
				return
			}
		}
	})
}

// gaveBack notes a cancel; it is no answer to an apply.
const gaveBack strategy.Outcome = "gave back"

func (c *Crowd) giveBack(d *door, user string) {
	begin := time.Now()
	c.note(try{user: user, sent: begin, received: begin, outcome: gaveBack})
	for t := d.cancel(user); t.outcome != strategy.Granted && time.Since(begin) < patience; t = d.cancel(user) {
		d.turn++
		<-time.After(pause)
	}
}
