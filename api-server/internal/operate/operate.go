// Package operate is what operators do to a campaign: create it, open it, pause, resume and close it, and look at it.
package operate

import (
	"context"
	"log/slog"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// pushDeadline bounds how long an operator waits for Redis before the change is finished in the background.
const pushDeadline = 2 * time.Second

type records interface {
	CreateCampaign(ctx context.Context, c coupon.Campaign) error
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
	SetStatus(ctx context.Context, id string, to coupon.CampaignStatus) (coupon.Campaign, error)
}

// fence opens a campaign the first time and is safe to repeat.
type fence interface {
	Open(ctx context.Context, id string) error
}

type stock interface {
	Push(ctx context.Context, d coupon.Document) (coupon.Pushed, error)
}

type view interface {
	Reload()
}

// Operator carries out what operators ask for. MySQL is told first, Redis second; a change that stopped between the two
// is finished by the keeper of any api-server.
type Operator struct {
	records records
	fence   fence
	stock   stock
	view    view
	logger  *slog.Logger
}

// New returns an Operator.
func New(records records, fence fence, stock stock, view view, logger *slog.Logger) *Operator {
	return &Operator{records: records, fence: fence, stock: stock, view: view, logger: logger}
}

// Create records a campaign as a draft and, when active is wanted, opens it.
func (o *Operator) Create(ctx context.Context, c coupon.Campaign, active bool) (coupon.Campaign, error) {
	if err := o.records.CreateCampaign(ctx, c); err != nil {
		return coupon.Campaign{}, err
	}
	o.logger.Info("campaign created", "campaign", c.ID, "limit", c.Limit)
	if !active {
		return o.records.Campaign(ctx, c.ID)
	}
	return o.Activate(ctx, c.ID)
}

// Activate opens a draft. Repeated, it finishes what a crash left half done, else it is a no-op.
func (o *Operator) Activate(ctx context.Context, id string) (coupon.Campaign, error) {
	if err := o.fence.Open(ctx, id); err != nil {
		return coupon.Campaign{}, err
	}
	o.view.Reload()
	o.logger.Info("campaign opened", "campaign", id)
	c, err := o.records.Campaign(ctx, id)
	if err != nil {
		return coupon.Campaign{}, err
	}
	if c.Status != coupon.CampaignActive {
		return coupon.Campaign{}, coupon.NewError(coupon.CodeInvalidTransition, "a "+string(c.Status)+" campaign cannot be activated")
	}
	return c, nil
}

// Pause stops new claims; holders are still answered.
func (o *Operator) Pause(ctx context.Context, id string) (coupon.Campaign, error) {
	return o.move(ctx, id, coupon.CampaignPaused)
}

// Resume takes back a pause. A draft is opened by Activate; the record refuses to make it active.
func (o *Operator) Resume(ctx context.Context, id string) (coupon.Campaign, error) {
	return o.move(ctx, id, coupon.CampaignActive)
}

// Close ends a campaign for good.
func (o *Operator) Close(ctx context.Context, id string) (coupon.Campaign, error) {
	return o.move(ctx, id, coupon.CampaignClosed)
}

// move answers only once Redis applied the change: until then a claim could still be granted.
func (o *Operator) move(ctx context.Context, id string, to coupon.CampaignStatus) (coupon.Campaign, error) {
	c, err := o.records.SetStatus(ctx, id, to)
	if err != nil {
		return coupon.Campaign{}, err
	}
	o.view.Reload()
	if c.Epoch > 0 {
		bounded, cancel := context.WithTimeout(ctx, pushDeadline)
		defer cancel()
		if _, err := o.stock.Push(bounded, c.Document()); err != nil {
			return coupon.Campaign{}, coupon.Unavailable("recorded, and applied as soon as Redis answers", err)
		}
	}
	o.logger.Info("campaign status set", "campaign", id, "status", to)
	return c, nil
}
