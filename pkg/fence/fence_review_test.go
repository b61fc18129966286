package fence

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// raced is a record in which another opener opens the campaign between our look and our BeginEpoch: a double click.
type raced struct{ looked bool }

func (r *raced) Campaign(context.Context, string) (coupon.Campaign, error) {
	if !r.looked {
		r.looked = true
		return coupon.Campaign{Status: coupon.CampaignDraft, EpochState: coupon.EpochNone}, nil
	}
	return coupon.Campaign{Status: coupon.CampaignActive, EpochState: coupon.EpochActive, Epoch: 1}, nil
}

func (*raced) BeginEpoch(context.Context, string) (coupon.Document, error) {
	return coupon.Document{}, coupon.NewError(coupon.CodeInvalidTransition, "the campaign is open") // mayBegin
}

func (*raced) ActivateEpoch(_ context.Context, d coupon.Document) (coupon.Document, error) {
	return d, nil
}

func (*raced) Prepare(context.Context, coupon.Document) error { return nil }
func (*raced) Open(context.Context, coupon.Document) error    { return nil }

func TestReviewADoubleClickOnActivateIsANoOp(t *testing.T) {
	t.Parallel()
	r := &raced{}
	require.NoError(t, New(r, r).Open(t.Context(), "winter"))
}
