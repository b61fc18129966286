// Package campaigns lists the campaigns a job works on.
package campaigns

import (
	"context"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// page is how many campaigns one query reads.
const page = 200

// Source lists campaigns by id, up to limit of those after the given one.
type Source interface {
	Campaigns(ctx context.Context, after string, limit int) ([]coupon.Campaign, error)
}

// Where reads all campaigns, page by page, and returns those to keep, in the order of their ids.
func Where(ctx context.Context, source Source, keep func(coupon.Campaign) bool) ([]coupon.Campaign, error) {
	var kept []coupon.Campaign
	for after := ""; ; {
		found, err := source.Campaigns(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if keep(c) {
				kept = append(kept, c)
			}
		}
		if len(found) < page {
			return kept, nil
		}
		after = found[len(found)-1].ID
	}
}
