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
// alone, both at the same times, fixed in advance. The maximum is measured by turns with them.
func (c *comparison) latency(ctx context.Context, crowd *applicants) ([]Row, error) {
	producer, err := floor.NewProducer(ctx, c.Stage.Stores.Kafka)
	if err != nil {
		return nil, fmt.Errorf("floor %s: %w", floor.Kafka, err)
	}
	c.closes = append(c.closes, producer.Close)
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
			return paced.round(ctx)
		}}, contender{floor.Kafka, func(ctx context.Context) (Round, error) {
			result, err := producer.Follow(ctx, plan())
			return onProducer(result), err
		}})
	}
	results, err := turns(ctx, c.Rounds, c.Say, all)
	table := rows(all[:1], results[:1], nil)
	for i, share := range c.Shares {
		for _, row := range rows(all[2*i+1:2*i+3], results[2*i+1:2*i+3], p99Ratio) {
			row.Share = share
			table = append(table, row)
		}
	}
	return table, c.finish(ctx, crowd, table, err)
}

func onProducer(result measure.Result) Round {
	return Round{
		Right: result.Count(told.Accepted), Took: result.Took, Client: result.Client,
		P50: result.Percentile(50, told.Accepted), P99: result.Percentile(99, told.Accepted),
	}
}
