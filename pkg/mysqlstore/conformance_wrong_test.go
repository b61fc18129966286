package mysqlstore

import (
	"context"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/simulated"
)

func flawed(flaws simulated.Flaws) func(*simulated.Record) model {
	return func(m *simulated.Record) model {
		m.Flaws = flaws
		return m
	}
}

// hasty forgets that the smaller serial of a batch comes first.
type hasty struct{ *simulated.Record }

func (m hasty) Issue(ctx context.Context, campaign string, deliveries []coupon.Delivery) (all []coupon.Result, err error) {
	for _, d := range deliveries {
		results, err := m.Record.Issue(ctx, campaign, []coupon.Delivery{d})
		if err != nil {
			return nil, err
		}
		all = append(all, results...)
	}
	return all, nil
}

// generous makes a place of every cancelled coupon, whatever the campaign says.
type generous struct{ *simulated.Record }

func (m generous) Cancel(ctx context.Context, key coupon.Key, reason string) (coupon.Coupon, coupon.Campaign, error) {
	row, _, err := m.Record.Cancel(ctx, key, reason)
	if err != nil {
		return row, coupon.Campaign{}, err
	}
	c, _ := m.RaiseLimit(ctx, key.Campaign, 1, "", "")
	return row, c, nil
}

// closer forgets step F1.
type closer struct{ *simulated.Record }

func (m closer) CloseEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error) {
	if _, err := m.BeginFence(ctx, []coupon.EpochRef{ref}); err != nil {
		return coupon.Campaign{}, err
	}
	return m.Record.CloseEpoch(ctx, ref, mode)
}
