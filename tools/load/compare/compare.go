package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/stage"
)

// The paths.
const (
	Refusal       = "refusal"        // after the last coupon, somebody without one
	Replay        = "replay"         // a holder asks again
	Grant         = "grant"          // every apply is granted; no consumer runs
	Many          = "many-campaigns" // the same with many campaigns open, some of them wanted alike
	GrantConsumer = "grant-consumer" // every apply is granted, and a consumer writes the rows
	Drop          = "drop"           // 1,000 coupons, 100,000 users
	Drain         = "drain"          // 10,000 coupons, 20,000 users: how long until the last row; it has no floor
	Backlog       = "backlog"        // a million promises wait for the consumer; its floor is a multi-row INSERT of as many
	Latency       = "latency"        // grants at a share of the maximum, by their times; its floors are producers alone
)

// Paths are all of them.
var Paths = []string{Refusal, Replay, Grant, Many, GrantConsumer, Drop, Drain, Backlog, Latency}

// Floors are all floors.
var Floors = []string{floor.Gin, floor.GinEvalSHA, floor.Redis, floor.Kafka, floor.MySQL}

// Options says how a comparison is made.
type Options struct {
	Stage       stage.Options // with the Secret, for tokens
	Self        string        // file of this program, which also serves the floors
	Rounds      int           // that count
	Lasts       time.Duration // one turn
	Connections int
	Events      int                              // of Backlog: how many wait
	Campaigns   int                              // of Backlog: theirs
	Open        int                              // of Many: how many campaigns are open
	Hot         int                              // of Many: how many of them are wanted
	Shares      []float64                        // of Latency: of the maximum
	Say         func(format string, args ...any) // how far it is
}

// comparison is one path's.
type comparison struct {
	Options
	stage  *stage.Stage
	users  counting // who have not come yet
	closes []func() error
}

// Path compares a path with floors. The table holds the rounds that were complete, also with an error: when ctx ended,
// when answers or rows were wrong, or when no right answer came.
func Path(ctx context.Context, options Options, path string, floors []string) (table []Row, err error) {
	c := &comparison{Options: options}
	defer func() { err = errors.Join(err, c.close()) }()
	if c.stage, err = stage.New(ctx, options.Stage); err != nil {
		return nil, err
	}
	product, err := c.product(ctx, path)
	if err != nil {
		return nil, err
	}
	switch path {
	case Latency:
		return c.latency(ctx, product)
	case Backlog:
		return c.backlog(ctx, product)
	case Drain:
		floors = nil
	}
	below, err := c.floors(ctx, floors, product)
	if err != nil {
		return nil, err
	}
	all := append([]contender{{path, product.round}}, below...)
	results, err := turns(ctx, options.Rounds, options.Say, all)
	table = rows(all, results, rateRatio)
	return table, c.finish(ctx, product, table, err)
}

// finish compares rows with answers, unless the turns ended early, and says which rounds were wrong.
func (c *comparison) finish(ctx context.Context, product *applicants, table []Row, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: only whole rounds are in the table, and not all rows were compared with the answers")
	}
	if err != nil {
		return err
	}
	if product.finish != nil {
		if err := product.finish(ctx); err != nil {
			return err
		}
	}
	for i := range table {
		table[i].Judged = product.judged
	}
	return wrongRounds(table)
}

func wrongRounds(table []Row) error {
	if len(table) == 0 {
		return nil
	}
	var wrong []error
	for i, r := range table[0].Rounds { // those of the path, in every row the same
		if r.Wrong != "" {
			wrong = append(wrong, fmt.Errorf("round %d counts for nothing: %s", i+1, r.Wrong))
		}
	}
	return errors.Join(wrong...)
}

// Alone measures floors by turns and compares them with nothing.
func Alone(ctx context.Context, options Options, floors []string) (table []Row, err error) {
	c := &comparison{Options: options}
	defer func() { err = errors.Join(err, c.close()) }()
	if c.stage, err = stage.New(ctx, options.Stage); err != nil {
		return nil, err
	}
	product, err := c.product(ctx, Grant) // for the bytes of an answer
	if err != nil {
		return nil, err
	}
	all, err := c.floors(ctx, floors, product)
	if err != nil {
		return nil, err
	}
	results, err := turns(ctx, options.Rounds, options.Say, all)
	for i, below := range all {
		if len(results[i]) > 0 {
			table = append(table, alone(below.name, results[i]))
		}
	}
	return table, err
}

func (c *comparison) close() error {
	var failed []error
	slices.Reverse(c.closes)
	for _, closer := range c.closes {
		failed = append(failed, closer())
	}
	if c.stage != nil {
		failed = append(failed, c.stage.Close())
	}
	return errors.Join(failed...)
}
