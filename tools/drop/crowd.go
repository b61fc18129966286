// Package drop applies for coupons as a crowd would, journals what it was told, and checks every answer against the
// database.
package drop

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	defaultTimeout = 10 * time.Second
	maxBody        = 64 << 10

	firstPause   = 20 * time.Millisecond
	longestPause = 500 * time.Millisecond
)

// Options says where and how a Crowd applies.
type Options struct {
	Servers     []string                           // base addresses such as http://127.0.0.1:8080, tried in turn
	Campaign    string                             // its id
	Connections int                                // tries in flight, each on a connection of its own; at least 1
	Authorize   func(r *http.Request, user string) // nil sets X-User-Id, which servers with AUTH_MODE=dev understand
	Insist      bool                               // repeat a try without an answer, 429 and 5xx, until something else is told
	Timeout     time.Duration                      // of one try; 0 means 10 s
}

// Crowd is many users at once.
type Crowd struct {
	options Options
	journal *Journal
	client  *http.Client
	turn    atomic.Uint64
}

// NewCrowd returns a Crowd that writes every answer into the journal. Several crowds may share one.
func NewCrowd(options Options, journal *Journal) *Crowd {
	options.Connections = max(1, options.Connections)
	if options.Authorize == nil {
		options.Authorize = func(r *http.Request, user string) { r.Header.Set("X-User-Id", user) }
	}
	if options.Timeout == 0 {
		options.Timeout = defaultTimeout
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: options.Timeout}).DialContext,
		MaxIdleConnsPerHost: options.Connections,
		DisableCompression:  true,
	}
	client := &http.Client{
		Transport:     transport,
		Timeout:       options.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Crowd{options: options, journal: journal, client: client}
}

// Close ends the connections.
func (c *Crowd) Close() { c.client.CloseIdleConnections() }

// Run sends the plan in its order, as fast as the connections allow, and returns when the last apply has its answer. The
// error is that of ctx, when it ended first, or of the journal.
func (c *Crowd) Run(ctx context.Context, plan []Apply) error {
	var next atomic.Int64
	return c.Follow(ctx, func(context.Context) (Apply, bool) {
		i := int(next.Add(1)) - 1
		if i >= len(plan) {
			return Apply{}, false
		}
		return plan[i], true
	})
}

// Follow sends what next returns, which every connection calls whenever it is free, until next returns false to all of
// them. It returns as Run does.
func (c *Crowd) Follow(ctx context.Context, next func(context.Context) (apply Apply, more bool)) error {
	group, ctx := errgroup.WithContext(ctx)
	for range c.options.Connections {
		group.Go(func() error {
			for {
				apply, more := next(ctx)
				if !more {
					return nil
				}
				if _, err := c.Apply(ctx, apply); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// Apply sends one apply and returns its last answer; every try is in the journal, those without an answer too. The error
// is that of ctx, when it ended before a wanted try, or of the journal.
func (c *Crowd) Apply(ctx context.Context, apply Apply) (Answer, error) {
	pause := firstPause
	for {
		if err := ctx.Err(); err != nil {
			return Answer{}, err
		}
		answer := c.try(ctx, apply)
		if err := c.journal.Add(answer); err != nil {
			return answer, err
		}
		if !c.options.Insist || !answer.transient() {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return answer, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

func (c *Crowd) try(ctx context.Context, apply Apply) Answer {
	answer := Answer{User: apply.User, N: apply.N, Sent: time.Now()}
	response, body, err := c.post(ctx, apply) //nolint:bodyclose // post has read and closed it
	answer.Received = time.Now()
	if err != nil {
		answer.Unknown = err.Error()
		return answer
	}
	answer.read(c.options.Campaign, response, body)
	return answer
}

// post returns a whole answer or an error; of half an answer nothing is believed.
func (c *Crowd) post(ctx context.Context, apply Apply) (*http.Response, []byte, error) {
	server := c.options.Servers[c.turn.Add(1)%uint64(len(c.options.Servers))]
	var body io.Reader = http.NoBody
	if apply.N != 1 {
		body = strings.NewReader(fmt.Sprintf(`{"n":%d}`, apply.N))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v1/campaigns/"+c.options.Campaign+"/apply", body)
	if err != nil {
		return nil, nil, err
	}
	c.options.Authorize(request, apply.User)
	response, err := c.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	return response, content, err
}
