package compare

import (
	"context"
	"errors"
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
	GrantConsumer = "grant-consumer" // every apply is granted, and a consumer writes the rows
	Drop          = "drop"           // 1,000 coupons, 100,000 users
)

// Paths are all of them.
var Paths = []string{Refusal, Replay, Grant, GrantConsumer, Drop}

// Floors are all floors.
var Floors = []string{floor.Gin, floor.GinEvalSHA, floor.Redis, floor.Kafka, floor.MySQL}

// Options says how a comparison is made.
type Options struct {
	Stage       stage.Options // with the Secret, for tokens
	Self        string        // file of this program, which also serves the floors
	Rounds      int           // that count
	Lasts       time.Duration // one turn
	Connections int
	Say         func(format string, args ...any) // how far it is
}

// comparison is one path's.
type comparison struct {
	Options
	stage  *stage.Stage
	closes []func() error
}

// Path compares a path with floors.
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
	below, err := c.floors(ctx, floors, product)
	if err != nil {
		return nil, err
	}
	all := append([]contender{{path, product.round}}, below...)
	results, err := turns(ctx, options.Rounds, options.Say, all)
	if err != nil {
		return nil, err
	}
	return rows(all, results), nil
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
	if err != nil {
		return nil, err
	}
	for i, below := range all {
		table = append(table, alone(below.name, results[i]))
	}
	return table, nil
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
