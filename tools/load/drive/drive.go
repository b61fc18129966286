// Package drive sends the applies of a plan, at the times the plan says or one behind the other, and measures.
package drive

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/client"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/token"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/load/witness"
)

// pause is how long a connection waits after no answer came, so that a server that is away is not asked without end.
const pause = 10 * time.Millisecond

// Options says where and how applies are sent.
type Options struct {
	Servers     []string // host:port; connections are spread over them
	Campaigns   []string // ids of those that the plan numbers
	Users       arrival.Users
	Connections int
	Timeout     time.Duration
	Secret      []byte                   // of HS256 tokens, one for each user; nil sends X-User-Id
	Open        bool                     // send at the planned time, not when a connection is free
	Anybody     bool                     // take an answer whomever it names: a floor answers the same to all
	Witness     *witness.Witness         // nil: nobody asks later what was told
	Dial        func() (net.Conn, error) // nil: by TCP
}

// Source hands out applies; false ends the drive.
type Source interface {
	Next() (arrival.Apply, bool)
}

// Drive is one run of a plan.
type Drive struct {
	options Options
	mu      sync.Mutex // of source
	source  Source
	begin   time.Time
	*measure.Recorder
}

// New returns a Drive that has not begun.
func New(options Options, source Source) *Drive {
	return &Drive{options: options, source: source, Recorder: &measure.Recorder{}}
}

// Run connects, waits until begin, sends all applies and returns what they came to. The plan's times count from begin, also
// when that has passed: what is sent late for it is late. A zero begin is when all are connected. When ctx ends Run sends no
// more: that is no error. The error is that of a server that cannot be reached at the beginning.
func (d *Drive) Run(ctx context.Context, begin time.Time) (measure.Result, error) {
	connections := make([]*connection, d.options.Connections)
	for i := range connections {
		connections[i] = d.connection(i)
		defer connections[i].conn.Close()
		if err := connections[i].conn.Connect(); err != nil {
			return measure.Result{}, err
		}
	}
	if !sleepUntil(ctx, begin) {
		return measure.Result{}, ctx.Err()
	}
	d.begin = time.Now()
	if !begin.IsZero() {
		d.begin = d.begin.Add(begin.Sub(d.begin)) // begin itself, by the clock that nobody sets
	}
	used := processorTime()
	var group errgroup.Group
	for _, c := range connections {
		group.Go(func() error { c.follow(ctx); return nil })
	}
	_ = group.Wait() // none fails
	result := d.Result(d.begin, time.Since(d.begin))
	result.Client = processorTime() - used
	return result, nil
}

func (d *Drive) next() (arrival.Apply, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.source.Next()
}

// connection is one of many; it is one goroutine's.
type connection struct {
	*Drive
	number  int
	host    string
	conn    *client.Conn
	key     *token.Key
	name    []byte
	headers []byte
	request []byte
}

func (d *Drive) connection(number int) *connection {
	host := d.options.Servers[number%len(d.options.Servers)]
	c := &connection{Drive: d, number: number, host: host, conn: client.New(client.Options{
		Address: host, Timeout: d.options.Timeout, Dial: d.options.Dial,
	})}
	if d.options.Secret != nil {
		c.key = token.NewKey(d.options.Secret, time.Now().Add(24*time.Hour))
	}
	return c
}

func (c *connection) follow(ctx context.Context) {
	for ctx.Err() == nil {
		apply, more := c.next()
		if !more {
			return
		}
		signing := c.prepare(apply)
		intended := time.Since(c.begin)
		if c.options.Open {
			if !sleepUntil(ctx, c.begin.Add(apply.At)) {
				return
			}
			intended = apply.At
		}
		if !c.send(apply, intended, signing) {
			sleepUntil(ctx, time.Now().Add(pause))
		}
	}
}

// prepare makes the request, and returns what the token took: nobody waits for it, users bring theirs.
func (c *connection) prepare(apply arrival.Apply) (signing time.Duration) {
	c.name = c.options.Users.AppendName(c.name[:0], apply.User)
	if c.key == nil {
		c.headers = append(append(c.headers[:0], "X-User-Id: "...), c.name...)
	} else {
		began := time.Now()
		c.headers = c.key.Append(append(c.headers[:0], "Authorization: Bearer "...), string(c.name))
		signing = time.Since(began)
	}
	c.headers = append(c.headers, "\r\n"...)
	c.request = client.AppendApply(c.request[:0], c.host, c.options.Campaigns[apply.Campaign], c.headers)
	return signing
}

// send reports whether an answer came.
func (c *connection) send(apply arrival.Apply, intended, signing time.Duration) bool {
	sent := time.Now()
	response, err := c.conn.Do(c.request)
	received := time.Now()
	answer := told.Answer{Kind: told.Unknown}
	if err == nil {
		answer = told.Read(response, c.options.Campaigns[apply.Campaign], c.expected())
	}
	c.Add(c.number, measure.Sample{
		Answer: answer, Intended: intended, Sent: sent.Sub(c.begin), Received: received.Sub(c.begin), Signing: signing,
	})
	if c.options.Witness != nil {
		c.options.Witness.Add(apply.User, answer, sent, received)
	}
	return err == nil
}

// expected is the user whom the answer must name.
func (c *connection) expected() []byte {
	if c.options.Anybody {
		return nil
	}
	return c.name
}

// sleepUntil reports whether the time has come before ctx ended.
func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
