package compare

import (
	"context"
	"fmt"

	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
)

// latency compares, at shares of the maximum, how long people wait for "accepted" with how long a claim waits for the log
// alone, by kafka-go's own producer and by the api-server's, all at the same times, fixed in advance. The maximum is measured
// by turns with them.
func (c *comparison) latency(ctx context.Context, crowd *applicants) ([]Row, error) {
	writer, err := c.producer(floor.Writer)(floor.NewWriter(ctx, c.Stage.Stores.Kafka))
	if err != nil {
		return nil, err
	}
	own, err := c.producer(floor.Own)(floor.NewProducer(ctx, c.Stage.Stores.Kafka))
	if err != nil {
		return nil, err
	}
	most := 0.0
	all := []contender{{Grant, func(ctx context.Context) (Round, error) {
		r, err := crowd.round(ctx)
		most = r.Rate()
		return r, err
	}}}
	for _, share := range c.Shares {
		plan := func() *arrival.Stream {
			return arrival.Plan{
				Profile: arrival.Flat, Users: uint64(max(1, share*most*c.Lasts.Seconds())), Over: c.Lasts, Campaigns: 1, Seed: seed,
			}.Stream(arrival.Whole)
		}
		all = append(all, contender{fmt.Sprintf("%s %.0f %%", Latency, 100*share), func(ctx context.Context) (Round, error) {
			paced := *crowd
			paced.options.Open = true
			paced.source = func(*applicants) drive.Source { return &planned{plan(), &c.users} }
			r, err := paced.round(ctx)
			r.Offered = share * most
			return r, err
		}}, following(floor.Writer, writer, plan), following(floor.Own, own, plan))
	}
	results, err := turns(ctx, c.Rounds, c.Say, all)
	table := rows(all[:1], results[:1], nil)
	for i, share := range c.Shares {
		for _, row := range rows(all[3*i+1:3*i+4], results[3*i+1:3*i+4], p99Ratio) {
			row.Share = share
			table = append(table, row)
		}
	}
	return table, c.finish(ctx, crowd, table, err)
}

// producer has a floor closed in the end.
func (c *comparison) producer(name string) func(p *floor.Producer, err error) (*floor.Producer, error) {
	return func(p *floor.Producer, err error) (*floor.Producer, error) {
		if err != nil {
			return nil, fmt.Errorf("floor %s: %w", name, err)
		}
		c.closes = append(c.closes, p.Close)
		return p, nil
	}
}

func following(name string, p *floor.Producer, plan func() *arrival.Stream) contender {
	return contender{name, func(ctx context.Context) (Round, error) {
		result, err := p.Follow(ctx, plan())
		return onProducer(result), err
	}}
}

func onProducer(result measure.Result) Round {
	return Round{
		Right: result.Count(told.Accepted), Took: result.Took, Client: result.Client,
		P50: result.Percentile(50, told.Accepted), P99: result.Percentile(99, told.Accepted),
	}
}
