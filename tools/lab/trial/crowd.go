package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/load/client"
)

// Answers that are no outcome of a strategy.
const (
	busy    strategy.Outcome = "busy"    // nothing was done
	unknown strategy.Outcome = "unknown" // perhaps something was done
	odd     strategy.Outcome = "odd"     // no answer to such a request
)

const (
	tryTimeOut = 10 * time.Second
	patience   = 5 * time.Second // of a user who is told to come again
	pause      = 20 * time.Millisecond
)

// try is one request and its answer.
type try struct {
	user           string
	sent, received time.Time
	outcome        strategy.Outcome
	serial         int64 // that a promise names; 0: none
}

// final reports whether the try told the user what came of it.
func (t try) final() bool {
	return t.outcome != busy && t.outcome != unknown && t.outcome != odd && t.outcome != strategy.Queued
}

func (t try) holder() bool { return t.outcome == strategy.Granted || t.outcome == strategy.Replayed }

// Crowd is many users at the doors of a few servers.
type Crowd struct {
	servers  []string
	campaign string

	granted atomic.Int64
	done    atomic.Int64 // users who are through
	repeats atomic.Int64 // tries that had no answer and were made again

	mu     sync.Mutex
	tries  []try
	visits []time.Duration // from the first try to the answer, of those who had one
}

// each runs work on so many connections at once and returns when all have ended.
func (c *Crowd) each(connections int, work func(d *door)) {
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() {
			d := c.door(i)
			defer d.close()
			work(d)
		})
	}
	all.Wait()
}

// door is one connection to each server; the one that is first asked is another from door to door.
type door struct {
	crowd *Crowd
	conns []*client.Conn
	turn  int
	bytes []byte
}

func (c *Crowd) door(number int) *door {
	d := &door{crowd: c, turn: number}
	for _, server := range c.servers {
		d.conns = append(d.conns, client.New(client.Options{Address: server, Timeout: tryTimeOut}))
	}
	return d
}

func (d *door) close() {
	for _, conn := range d.conns {
		conn.Close()
	}
}

func (d *door) apply(user string) try {
	return d.post("/v1/campaigns/"+d.crowd.campaign+"/apply", user)
}

func (d *door) cancel(user string) try {
	return d.post("/v1/campaigns/"+d.crowd.campaign+"/claims/1/cancel", user)
}

func (d *door) post(path, user string) try {
	d.bytes = append(append(append(d.bytes[:0], "POST "...), path...), " HTTP/1.1\r\nHost: lab\r\nX-User-Id: "...)
	d.bytes = append(append(d.bytes, user...), "\r\nContent-Length: 0\r\n\r\n"...)
	t := try{user: user, sent: time.Now()}
	response, err := d.conns[d.turn%len(d.conns)].Do(d.bytes)
	t.received = time.Now()
	t.outcome, t.serial = read(response, err)
	return t
}

func read(response client.Response, err error) (outcome strategy.Outcome, serial int64) {
	if outcome = outcomeOf(response, err); outcome == strategy.Granted || outcome == strategy.Replayed {
		var claim struct{ Serial int64 }
		_ = json.Unmarshal(response.Body, &claim) // most strategies number nothing
		serial = claim.Serial
	}
	return outcome, serial
}

func outcomeOf(response client.Response, err error) strategy.Outcome {
	says := func(word string) bool { return bytes.Contains(response.Body, []byte(word)) }
	switch {
	case err != nil:
		return unknown
	case says(`"pending"`), response.Status == http.StatusTooManyRequests, says("claim_not_final"):
		return busy // also a repeat: what is replayed is no promise yet
	case response.Status == http.StatusOK && response.Replayed:
		return strategy.Replayed
	case response.Status == http.StatusAccepted && says("queued"):
		return strategy.Queued
	case response.Status == http.StatusOK, response.Status == http.StatusAccepted:
		return strategy.Granted
	case response.Status == http.StatusConflict && says("sold_out"):
		return strategy.SoldOut
	case response.Status == http.StatusConflict && says("already_applied"):
		return strategy.Refused
	case response.Status == http.StatusServiceUnavailable:
		return unknown
	}
	return odd
}

// insist asks again, at the next server, until there is an answer.
func (d *door) insist(ask func() try) try {
	begin := time.Now()
	for {
		t := ask()
		d.crowd.note(t)
		if t.outcome != busy && t.outcome != unknown || time.Since(begin) > patience {
			d.crowd.end(time.Since(begin), t)
			return t
		}
		d.crowd.repeats.Add(1)
		d.turn++
		<-time.After(pause)
	}
}

func (c *Crowd) note(t try) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries = append(c.tries, t)
}

func (c *Crowd) end(took time.Duration, t try) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.final() {
		c.visits = append(c.visits, took)
	}
	if t.outcome == strategy.Granted {
		c.granted.Add(1)
	}
}

// come lets users come in their order, as many at once as there are connections, until all were here or ctx ends.
func (c *Crowd) come(ctx context.Context, connections int, users []string) {
	var next atomic.Int64
	c.each(connections, func(d *door) {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(users) {
				return
			}
			d.insist(func() try { return d.apply(users[i]) })
			c.done.Add(1)
		}
	})
}
