package operate

import (
	"context"
	"log/slog"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

// ledger is the record of a campaign's limit. BeginLowering returns a campaign with an open lowering only where Redis must
// be asked. FinishLowering must not settle another lowering than the one that doc told Redis of, and answer
// coupon.CodeLimitBelowClaimed when that one ended with the limit as it was.
type ledger interface {
	RaiseLimit(ctx context.Context, id string, delta int64, reason, actor string) (coupon.Campaign, error)
	BeginLowering(ctx context.Context, id string, delta int64, reason, actor string) (coupon.Campaign, error)
	FinishLowering(ctx context.Context, doc coupon.Document, taken bool) (coupon.Campaign, error)
	Adjustments(ctx context.Context, id string, after int64, limit int) ([]coupon.Adjustment, error)
}

// Limits moves the limits of campaigns.
type Limits struct {
	ledger ledger
	stock  stock
	view   view
	logger *slog.Logger
}

// NewLimits returns a Limits over the record and the claim state.
func NewLimits(ledger ledger, stock stock, view view, logger *slog.Logger) *Limits {
	return &Limits{ledger: ledger, stock: stock, view: view, logger: logger}
}

// Adjust adds delta places to a campaign's limit, or takes them when it is negative, and returns the campaign as it then
// is. A raise is recorded at once and reaches Redis by the keepers, when every server has seen it. A lowering is refused
// with CodeLimitBelowClaimed when the places are given out, and with CodeAdjusting while another one is open; after
// CodeUnavailable it may be recorded, and the keepers settle it.
func (l *Limits) Adjust(ctx context.Context, id string, delta int64, reason, actor string) (coupon.Campaign, error) {
	change := l.lower
	if delta > 0 {
		change = l.ledger.RaiseLimit
	}
	c, err := change(ctx, id, max(delta, -delta), reason, actor)
	if err != nil {
		return coupon.Campaign{}, err
	}
	l.view.Reload()
	l.logger.Info("limit adjusted", "campaign", id, "delta", delta, "limit", c.Limit, "actor", actor)
	return c, nil
}

// Adjustments returns up to limit entries of a campaign's stock ledger, from the first one after the id given.
func (l *Limits) Adjustments(ctx context.Context, id string, after int64, limit int) ([]coupon.Adjustment, error) {
	return l.ledger.Adjustments(ctx, id, after, limit)
}

// lower records the wish, asks Redis whether it can give the places up, and settles the wish by what Redis says. Killed
// in between, it leaves an open wish: the next push of any server gets the same answer and settles it.
func (l *Limits) lower(ctx context.Context, id string, places int64, reason, actor string) (coupon.Campaign, error) {
	wish, err := l.ledger.BeginLowering(ctx, id, places, reason, actor)
	if err != nil || wish.Lowering == 0 {
		return wish, err
	}
	failpoint.Hit(failpoint.LoweringWished)
	l.view.Reload()
	pushed, err := push(ctx, l.stock, wish)
	if err != nil {
		return coupon.Campaign{}, err
	}
	failpoint.Hit(failpoint.LoweringTaken)
	c, err := l.ledger.FinishLowering(ctx, wish.Document(), pushed.Hi <= wish.HiWanted)
	if coupon.CodeOf(err) == coupon.CodeLimitBelowClaimed {
		l.takeBack(ctx, c)
	}
	return c, err
}

// takeBack tells Redis that a lowering was refused. The keepers do it too: an error only delays it.
func (l *Limits) takeBack(ctx context.Context, c coupon.Campaign) {
	l.view.Reload()
	if !heldByRedis(c) {
		return // its epoch ended meanwhile, and the lowering with it
	}
	if _, err := push(ctx, l.stock, c); err != nil {
		l.logger.Warn("a refused lowering is not yet taken back in Redis", "campaign", c.ID, "error", err)
	}
}
