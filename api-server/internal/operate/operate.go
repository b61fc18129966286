// Package operate is what operators do to a campaign: create it, open it, change, pause, resume and close it, move its
// limit, have its claim state rebuilt, and look at it.
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
	UpdateCampaign(ctx context.Context, id string, version int64, change coupon.CampaignChange) (coupon.Campaign, error)
}

// wishes records that a campaign's epoch is to end; the warden sees to it.
type wishes interface {
	WantFence(ctx context.Context, id string) (coupon.Campaign, error)
}

type book interface {
	records
	wishes
}

// fence opens a campaign the first time and is safe to repeat. It must leave Redis alone when the epoch is in mode sql.
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
	book   book
	fence  fence
	stock  stock
	view   view
	logger *slog.Logger
}

// New returns an Operator.
func New(book book, fence fence, stock stock, view view, logger *slog.Logger) *Operator {
	return &Operator{book: book, fence: fence, stock: stock, view: view, logger: logger}
}

// Create records a campaign as a draft and, when active is wanted, opens it.
func (o *Operator) Create(ctx context.Context, c coupon.Campaign, active bool) (coupon.Campaign, error) {
	if err := o.book.CreateCampaign(ctx, c); err != nil {
		return coupon.Campaign{}, err
	}
	o.logger.Info("campaign created", "campaign", c.ID, "limit", c.Limit)
	if !active {
		return o.book.Campaign(ctx, c.ID)
	}
	return o.Activate(ctx, c.ID)
}

// Activate opens a draft. Repeated, it finishes what a crash left half done, else it is a no-op. CodeUnavailable while
// the campaign is between two epochs and takes no applies.
func (o *Operator) Activate(ctx context.Context, id string) (coupon.Campaign, error) {
	if err := o.fence.Open(ctx, id); err != nil {
		return coupon.Campaign{}, err
	}
	o.view.Reload()
	o.logger.Info("campaign opened", "campaign", id)
	c, err := o.book.Campaign(ctx, id)
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

// Update changes a campaign whose version is still the one given: CodeVersionMismatch else.
func (o *Operator) Update(ctx context.Context, id string, version int64, change coupon.CampaignChange) (coupon.Campaign, error) {
	c, err := o.book.UpdateCampaign(ctx, id, version, change)
	if err != nil {
		return coupon.Campaign{}, err
	}
	if err := o.deliver(ctx, c); err != nil {
		return coupon.Campaign{}, err
	}
	o.logger.Info("campaign changed", "campaign", id, "version", c.Version)
	return c, nil
}

// Rebuild asks for the campaign's claim state to be made anew from MySQL, in the next epoch; the warden does the work.
// Repeated before the warden began, it is a no-op.
func (o *Operator) Rebuild(ctx context.Context, id string) (coupon.Campaign, error) {
	c, err := o.book.WantFence(ctx, id)
	if err != nil {
		return coupon.Campaign{}, err
	}
	o.logger.Info("rebuild wanted", "campaign", id, "epoch", c.Epoch)
	return c, nil
}

func (o *Operator) move(ctx context.Context, id string, to coupon.CampaignStatus) (coupon.Campaign, error) {
	c, err := o.book.SetStatus(ctx, id, to)
	if err != nil {
		return coupon.Campaign{}, err
	}
	if err := o.deliver(ctx, c); err != nil {
		return coupon.Campaign{}, err
	}
	o.logger.Info("campaign status set", "campaign", id, "status", to)
	return c, nil
}

// deliver brings a recorded change to the Redis that may still grant, and fails until it is applied there. In mode sql
// every grant reads the record under its lock, and a loading epoch opens with a document read after this change: both
// know it already.
func (o *Operator) deliver(ctx context.Context, c coupon.Campaign) error {
	o.view.Reload()
	if !heldByRedis(c) {
		return nil
	}
	_, err := push(ctx, o.stock, c)
	return err
}

// heldByRedis reports whether a grant of Redis could become a row of the campaign. In a fencing epoch it still could: what
// is logged before the fence finds the end of the log is issued.
func heldByRedis(c coupon.Campaign) bool {
	return c.Mode == coupon.ModeRedis && (c.EpochState == coupon.EpochActive || c.EpochState == coupon.EpochFencing)
}

func push(ctx context.Context, stock stock, c coupon.Campaign) (coupon.Pushed, error) {
	ctx, cancel := context.WithTimeout(ctx, pushDeadline)
	defer cancel()
	pushed, err := stock.Push(ctx, c.Document())
	if err != nil {
		return coupon.Pushed{}, coupon.Unavailable("recorded, and applied as soon as Redis answers", err)
	}
	return pushed, nil
}
