package fence

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	pageSize = 1000 // claims read and loaded at a time: the most one script call takes
	// touchEvery is how often a loading shows that it makes progress; after 10 s without it is taken over.
	touchEvery = time.Second
)

// rows is what the record knows of a campaign's claims. TouchEpoch must fail once another has taken the loading over.
type rows interface {
	CarriedClaims(ctx context.Context, campaign string, after int64, limit int) (claims []coupon.Claim, last int64, err error)
	IssuedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, error)
	TouchEpoch(ctx context.Context, ref coupon.EpochRef) error
}

// keys are the keys of an epoch that nobody reads yet. Load may be given a claim twice, and must keep the later mark;
// Loaded returns how many members there are.
type keys interface {
	Seal(ctx context.Context, campaign string) (string, error)
	Prepare(ctx context.Context, d coupon.Document) error
	Load(ctx context.Context, ref coupon.EpochRef, claims []coupon.Claim, mark coupon.Mark) error
	Loaded(ctx context.Context, ref coupon.EpochRef) (members int64, err error)
}

// page is some claims of one kind.
type page struct {
	claims []coupon.Claim
	mark   coupon.Mark
}

// load is F6: it fills the keys of a new epoch in the Redis whose seal it read first, and returns the document that says
// so. If that Redis is another one by the end, Open will find out.
func (f *Fence) load(ctx context.Context, c coupon.Campaign) (coupon.Document, error) {
	document := c.Document()
	var err error
	if document.Seal, err = f.stock.Seal(ctx, c.ID); err != nil {
		return document, err
	}
	if err := f.stock.Prepare(ctx, document); err != nil {
		return document, err
	}
	if err := f.fill(ctx, c.Ref()); err != nil {
		return document, err
	}
	document.Base, err = f.stock.Loaded(ctx, c.Ref())
	return document, err
}

// fill loads page after page, and has the next one read meanwhile.
func (f *Fence) fill(ctx context.Context, ref coupon.EpochRef) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pages := make(chan page)
	ended := make(chan error, 1)
	go func() {
		defer close(pages)
		ended <- f.read(ctx, ref.Campaign, pages)
	}()
	touched := f.Now()
	for p := range pages {
		if err := f.stock.Load(ctx, ref, p.claims, p.mark); err != nil {
			return err
		}
		f.Loaded(len(p.claims))
		if f.Now().Sub(touched) < touchEvery {
			continue
		}
		if err := f.record.TouchEpoch(ctx, ref); err != nil {
			return err
		}
		touched = f.Now()
	}
	return <-ended
}

// read reads the carried claims and then the rows: one that is issued meanwhile is seen twice, never missed, and ends with
// the mark of a row.
func (f *Fence) read(ctx context.Context, campaign string, out chan<- page) error {
	for after := int64(0); ; {
		claims, last, err := f.record.CarriedClaims(ctx, campaign, after, pageSize)
		if err != nil {
			return err
		}
		if len(claims) == 0 {
			break
		}
		if err := send(ctx, out, page{claims, coupon.MarkCarried}); err != nil {
			return err
		}
		after = last
	}
	for after := int64(0); ; {
		claims, err := f.record.IssuedClaims(ctx, campaign, after, pageSize)
		if err != nil {
			return err
		}
		if len(claims) == 0 {
			return nil
		}
		if err := send(ctx, out, page{claims, coupon.MarkIssued}); err != nil {
			return err
		}
		after = claims[len(claims)-1].Serial
	}
}

func send(ctx context.Context, out chan<- page, p page) error {
	select {
	case out <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
