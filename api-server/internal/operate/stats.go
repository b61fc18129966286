package operate

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

type campaigns interface {
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
}

type totals interface {
	Totals(ctx context.Context, campaign string) (coupon.Totals, error)
}

type levels interface {
	Levels(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error)
}

// backlog tells how many records the consumer group has not committed yet.
type backlog interface {
	Backlog(ctx context.Context) (int64, error)
}

// Stats is a campaign at one instant, read from all three stores.
type Stats struct {
	Campaign coupon.Campaign
	AsOf     time.Time
	Level    coupon.Level // not Known while Redis could not tell, and between two epochs
	Totals   coupon.Totals
	Backlog  *int64 // nil when Kafka could not tell
}

// Statistics reads the stats of a campaign.
type Statistics struct {
	campaigns campaigns
	totals    totals
	levels    levels
	backlog   backlog
}

// NewStatistics returns a Statistics over the three stores.
func NewStatistics(campaigns campaigns, totals totals, levels levels, backlog backlog) *Statistics {
	return &Statistics{campaigns: campaigns, totals: totals, levels: levels, backlog: backlog}
}

// Of reads the stats of one campaign. MySQL must answer; what Redis or Kafka cannot tell stays unknown.
func (s *Statistics) Of(ctx context.Context, id string, now time.Time) (Stats, error) {
	c, err := s.campaigns.Campaign(ctx, id)
	if err != nil {
		return Stats{}, err
	}
	sum, err := s.totals.Totals(ctx, id)
	if err != nil {
		return Stats{}, err
	}
	stats := Stats{Campaign: c, AsOf: now, Totals: sum, Level: s.level(ctx, c)}
	if n, err := s.backlog.Backlog(ctx); err == nil {
		stats.Backlog = &n
	}
	return stats, nil
}

// level tells how far the campaign's stock is used. Between two epochs the old keys may be lost and the new ones are not
// in use, so nobody can tell.
func (s *Statistics) level(ctx context.Context, c coupon.Campaign) coupon.Level {
	switch {
	case c.EpochState != coupon.EpochActive:
		return coupon.Level{}
	case c.Mode == coupon.ModeSQL:
		return coupon.Level{Known: true, Last: c.NextSerial - 1, Epoch: c.Epoch}
	}
	found, _ := s.levels.Levels(ctx, []*coupon.Campaign{&c})
	if len(found) != 1 {
		return coupon.Level{}
	}
	return found[0]
}
