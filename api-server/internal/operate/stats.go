package operate

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

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
	Level    coupon.Level
	Totals   coupon.Totals
	Backlog  *int64 // nil when Kafka could not tell
}

// Statistics reads the stats of a campaign.
type Statistics struct {
	records records
	totals  totals
	levels  levels
	backlog backlog
}

// NewStatistics returns a Statistics over the three stores.
func NewStatistics(records records, totals totals, levels levels, backlog backlog) *Statistics {
	return &Statistics{records: records, totals: totals, levels: levels, backlog: backlog}
}

// Of reads the stats of one campaign. MySQL must answer; what Redis or Kafka cannot tell stays unknown.
func (s *Statistics) Of(ctx context.Context, id string, now time.Time) (Stats, error) {
	c, err := s.records.Campaign(ctx, id)
	if err != nil {
		return Stats{}, err
	}
	sum, err := s.totals.Totals(ctx, id)
	if err != nil {
		return Stats{}, err
	}
	stats := Stats{Campaign: c, AsOf: now, Totals: sum}
	if c.Epoch > 0 {
		if found, _ := s.levels.Levels(ctx, []*coupon.Campaign{&c}); len(found) == 1 {
			stats.Level = found[0] // not Known when Redis could not tell
		}
	}
	if n, err := s.backlog.Backlog(ctx); err == nil {
		stats.Backlog = &n
	}
	return stats, nil
}
