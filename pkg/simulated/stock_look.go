package simulated

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Look judges the claim state of each campaign: look.lua.
func (s *Stock) Look(ctx context.Context, campaigns []*coupon.Campaign) []coupon.Health {
	found := make([]coupon.Health, len(campaigns))
	for i, c := range campaigns {
		health, err := step(ctx, s, "look "+c.ID, func() (coupon.Health, error) { return s.health(c), nil })
		if err != nil {
			health = coupon.Health{State: coupon.Unreachable, Why: err.Error()}
		}
		found[i] = health
	}
	return found
}

func (r *redisState) health(campaign *coupon.Campaign) coupon.Health {
	lost := func(why string) coupon.Health { return coupon.Health{State: coupon.Lost, Why: why} }
	c, k := r.keys(campaign.Ref())
	d := c.document
	switch {
	case c.live() > campaign.Epoch:
		return lost("a later epoch is open")
	case c.live() < campaign.Epoch && campaign.Seal != "" && campaign.Seal != r.id:
		return lost("no document, and not the owner")
	case c.live() < campaign.Epoch && k.untouched(campaign.Lo, campaign.Base) && len(k.pending) == 0:
		return coupon.Health{State: coupon.Unopened, Why: "loaded and not yet open"}
	case c.live() < campaign.Epoch:
		return lost("no document, and not as it was loaded")
	case d.State == coupon.DocumentFenced:
		return lost("fenced")
	case d.Lo != campaign.Lo || d.Base != campaign.Base || campaign.Seal != "" && d.Seal != "" && d.Seal != campaign.Seal:
		return lost("the document and the record disagree")
	case d.Seal != "" && d.Seal != r.id:
		return lost("the seal is broken")
	case !k.agree(d.Lo, d.Base):
		return lost("the keys do not agree")
	default:
		return coupon.Health{State: coupon.Sound}
	}
}

// Levels returns how far each campaign is in its own epoch.
func (s *Stock) Levels(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error) {
	levels, err := step(ctx, s, "levels", func() ([]coupon.Level, error) {
		levels := make([]coupon.Level, len(campaigns))
		for i, c := range campaigns {
			levels[i] = s.level(c)
		}
		return levels, nil
	})
	if err != nil {
		return make([]coupon.Level, len(campaigns)), err
	}
	return levels, nil
}

func (r *redisState) level(campaign *coupon.Campaign) coupon.Level {
	c, k := r.keys(campaign.Ref())
	level := coupon.Level{Known: k.counted && k.count >= 0, Last: k.count, Pending: int64(len(k.pending))}
	if c.document != nil {
		level.Epoch, level.Version = c.document.Epoch, c.document.Version
	}
	first := true
	for _, due := range k.pending {
		if at := time.UnixMilli(due).UTC(); first || at.Before(level.OldestDue) {
			level.OldestDue, first = at, false
		}
	}
	return level
}
