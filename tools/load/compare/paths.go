package compare

import (
	"context"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/procs"
)

const (
	dropLimit = 1_000
	dropUsers = 100_000
	holders   = 1_000
	endless   = 1_000_000_000 // coupons

	exchangeTimeout = 10 * time.Second
	seed            = 1
)

// product prepares a path: the programs, a campaign in the state that the path needs, and the crowd.
func (c *comparison) product(ctx context.Context, path string) (*applicants, error) {
	crowd := &applicants{pids: []int{c.stage.Server.PID()}, options: drive.Options{
		Servers: []string{c.stage.Address()}, Campaigns: make([]string, 1), Users: arrival.NewUsers(seed),
		Connections: c.Connections, Timeout: exchangeTimeout, Secret: c.Stage.Secret,
	}}
	prepare := map[string]func(context.Context, *applicants) error{
		Refusal: c.refusal, Replay: c.replay, Grant: c.grant, GrantConsumer: c.grantConsumer, Drop: c.drop,
	}[path]
	if prepare == nil {
		return nil, fmt.Errorf("the path %q is none of %q", path, Paths)
	}
	return crowd, prepare(ctx, crowd)
}

func (c *comparison) refusal(ctx context.Context, crowd *applicants) error {
	crowd.kinds = []told.Kind{told.SoldOut}
	if err := c.open(ctx, crowd, holders); err != nil {
		return err
	}
	users := &counting{next: holders}
	crowd.source = func() drive.Source { return &timed{Source: users, lasts: c.Lasts} }
	return c.grantFirst(ctx, crowd, holders)
}

func (c *comparison) replay(ctx context.Context, crowd *applicants) error {
	crowd.kinds = []told.Kind{told.Replayed}
	if _, err := c.consumer(ctx); err != nil {
		return err
	}
	if err := c.open(ctx, crowd, endless); err != nil {
		return err
	}
	users := &cycling{count: holders}
	crowd.source = func() drive.Source { return &timed{Source: users, lasts: c.Lasts} }
	if err := c.grantFirst(ctx, crowd, holders); err != nil {
		return err
	}
	return c.stage.AwaitRest(ctx, crowd.options.Campaigns[0], holders)
}

func (c *comparison) grant(ctx context.Context, crowd *applicants) error {
	crowd.kinds = []told.Kind{told.Accepted, told.Issued}
	users := &counting{}
	crowd.source = func() drive.Source { return &timed{Source: users, lasts: c.Lasts} }
	return c.open(ctx, crowd, endless)
}

// grantConsumer waits after each round until all rows are there, so that the floor does not have the consumer beside it.
func (c *comparison) grantConsumer(ctx context.Context, crowd *applicants) error {
	consumer, err := c.consumer(ctx)
	if err != nil {
		return err
	}
	crowd.pids = append(crowd.pids, consumer.PID())
	granted := int64(0)
	crowd.settle = func(ctx context.Context, r measure.Result) error {
		granted += r.Count(told.Accepted) + r.Count(told.Issued)
		return c.stage.AwaitRest(ctx, crowd.options.Campaigns[0], granted)
	}
	return c.grant(ctx, crowd)
}

// drop opens a campaign for each round. Nearly all are refused, so its floor answers a refusal.
func (c *comparison) drop(ctx context.Context, crowd *applicants) error {
	if err := c.refusal(ctx, crowd); err != nil {
		return err
	}
	crowd.example = crowd.options.Campaigns[0]
	crowd.kinds = []told.Kind{told.Accepted, told.Issued, told.Replayed, told.SoldOut}
	consumer, err := c.consumer(ctx)
	if err != nil {
		return err
	}
	crowd.pids = append(crowd.pids, consumer.PID())
	first := uint64(0)
	crowd.source = func() drive.Source {
		first += dropUsers
		return &span{next: first, end: first + dropUsers}
	}
	crowd.settle = func(ctx context.Context, r measure.Result) error {
		if granted := r.Count(told.Accepted) + r.Count(told.Issued) + r.Count(told.Pending) + r.Count(told.Unknown); granted < dropLimit {
			return fmt.Errorf("%d coupons were promised of %d", granted, dropLimit)
		}
		if err := c.stage.AwaitRest(ctx, crowd.options.Campaigns[0], dropLimit); err != nil {
			return err
		}
		return c.open(ctx, crowd, dropLimit)
	}
	return c.open(ctx, crowd, dropLimit)
}

// span hands out the users from next to end.
type span struct{ next, end uint64 }

// Next returns an apply of the next user for the first campaign.
func (s *span) Next() (arrival.Apply, bool) {
	s.next++
	return arrival.Apply{User: s.next}, s.next <= s.end
}

func (c *comparison) open(ctx context.Context, crowd *applicants, limit int) (err error) {
	crowd.options.Campaigns[0], err = c.stage.Open(ctx, limit)
	return err
}

func (c *comparison) consumer(ctx context.Context) (*procs.Consumer, error) {
	return c.stage.StartConsumer(ctx, "LOG_LEVEL=warn")
}

// grantFirst gives coupons to the users from 0. As long as somebody holds none they all apply again, some times.
func (c *comparison) grantFirst(ctx context.Context, crowd *applicants, count uint64) error {
	const tries = 10
	var result measure.Result
	for range tries {
		var err error
		users := &span{next: ^uint64(0), end: count - 1} // Next counts up first
		if result, err = drive.New(crowd.options, users).Run(ctx, time.Time{}); err != nil {
			return err
		}
		if hold := result.Count(told.Accepted) + result.Count(told.Issued) + result.Count(told.Replayed); uint64(hold) == count {
			return nil
		}
	}
	return fmt.Errorf("of %d users some got no coupon: %v", count, result.Codes)
}
