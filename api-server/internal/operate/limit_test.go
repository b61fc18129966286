package operate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// limitBook keeps one campaign's stock by the rules of the record, and a Redis that has given out serials up to given.
type limitBook struct {
	campaign coupon.Campaign
	asked    bool // a lowering must ask Redis
	given    int64
	hi       int64
	away     error
	settled  error // what FinishLowering answers instead of settling
	done     []string
}

func (b *limitBook) RaiseLimit(_ context.Context, _ string, delta int64, _, _ string) (coupon.Campaign, error) {
	b.campaign.Limit += delta
	b.campaign.Hi += delta
	b.done = append(b.done, fmt.Sprintf("raise %d", delta))
	return b.campaign, nil
}

func (b *limitBook) BeginLowering(_ context.Context, _ string, delta int64, _, _ string) (coupon.Campaign, error) {
	if b.campaign.Lowering > 0 {
		return coupon.Campaign{}, coupon.NewError(coupon.CodeAdjusting, "")
	}
	b.campaign.Version++
	b.campaign.HiWanted -= delta
	if b.asked {
		b.campaign.Lowering = delta
	} else {
		b.campaign.Limit -= delta
	}
	b.done = append(b.done, fmt.Sprintf("wish %d", delta))
	return b.campaign, nil
}

func (b *limitBook) FinishLowering(_ context.Context, doc coupon.Document, taken bool) (coupon.Campaign, error) {
	b.done = append(b.done, fmt.Sprintf("finish version %d, taken %t", doc.Version, taken))
	if b.settled != nil {
		return b.campaign, b.settled
	}
	d := b.campaign.Lowering
	b.campaign.Lowering = 0
	b.campaign.Version++
	if !taken {
		b.campaign.HiWanted += d
		return b.campaign, coupon.NewError(coupon.CodeLimitBelowClaimed, "")
	}
	b.campaign.Limit -= d
	b.campaign.Hi -= d
	return b.campaign, nil
}

func (b *limitBook) Adjustments(context.Context, string, int64, int) ([]coupon.Adjustment, error) {
	return []coupon.Adjustment{{ID: 1}}, nil
}

func (b *limitBook) Push(_ context.Context, d coupon.Document) (coupon.Pushed, error) {
	b.done = append(b.done, fmt.Sprintf("push %d", d.Hi))
	if b.away != nil {
		return coupon.Pushed{}, b.away
	}
	if d.Hi >= b.given {
		b.hi = d.Hi
	}
	return coupon.Pushed{Version: d.Version, Hi: b.hi, Last: b.given}, nil
}

func (b *limitBook) Reload() {}

func setupLimits(asked bool) (*limitBook, *Limits) {
	b := &limitBook{asked: asked, hi: 100, campaign: coupon.Campaign{
		ID: "winter", Status: coupon.CampaignActive, Epoch: 1, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis,
		Limit: 100, Hi: 100, HiWanted: 100, Lo: 1, Version: 4,
	}}
	return b, NewLimits(b, b, b, slog.New(slog.DiscardHandler))
}

func TestARaiseIsRecordedAndPushedByTheKeepers(t *testing.T) {
	t.Parallel()
	b, l := setupLimits(true)
	c, err := l.Adjust(t.Context(), "winter", 20, "more", "ann")
	require.NoError(t, err)
	require.Equal(t, int64(120), c.Limit)
	require.Equal(t, []string{"raise 20"}, b.done, "Redis may not hear of it before every server has")
}

func TestALoweringIsWhatRedisSays(t *testing.T) {
	t.Parallel()
	b, l := setupLimits(true)
	b.given = 80
	c, err := l.Adjust(t.Context(), "winter", -20, "fewer", "ann")
	require.NoError(t, err)
	require.Equal(t, int64(80), c.Limit)
	require.Equal(t, []string{"wish 20", "push 80", "finish version 5, taken true"}, b.done)

	b, l = setupLimits(true)
	b.given = 81
	_, err = l.Adjust(t.Context(), "winter", -20, "fewer", "ann")
	require.Equal(t, coupon.CodeLimitBelowClaimed, coupon.CodeOf(err))
	require.Equal(t, []string{"wish 20", "push 80", "finish version 5, taken false", "push 100"}, b.done, "Redis is told that it stays")
	require.Equal(t, int64(100), b.campaign.Limit)
}

func TestALoweringThatNeedsNoRedisAsksNone(t *testing.T) {
	t.Parallel()
	b, l := setupLimits(false)
	b.away = errors.New("away")
	c, err := l.Adjust(t.Context(), "winter", -20, "fewer", "ann")
	require.NoError(t, err)
	require.Equal(t, int64(80), c.Limit)
	require.Equal(t, []string{"wish 20"}, b.done)
}

func TestALoweringStaysOpenWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	b, l := setupLimits(true)
	b.away = errors.New("away")
	_, err := l.Adjust(t.Context(), "winter", -20, "fewer", "ann")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.Equal(t, []string{"wish 20", "push 80"}, b.done, "nothing is settled by a guess")
	_, err = l.Adjust(t.Context(), "winter", -1, "fewer", "ann")
	require.Equal(t, coupon.CodeAdjusting, coupon.CodeOf(err))
}

func TestALoweringThatAnotherSettled(t *testing.T) {
	t.Parallel()
	b, l := setupLimits(true)
	b.settled = coupon.NewError(coupon.CodeLimitBelowClaimed, "the end of the epoch took it back")
	b.campaign.Mode = coupon.ModeSQL // it went on without Redis
	_, err := l.Adjust(t.Context(), "winter", -20, "fewer", "ann")
	require.Equal(t, coupon.CodeLimitBelowClaimed, coupon.CodeOf(err))
	require.Equal(t, "finish version 5, taken true", b.done[len(b.done)-1], "Redis is not told of an epoch that is not its own")

	b, l = setupLimits(true)
	b.settled = coupon.Unavailable("settle", errors.New("away"))
	_, err = l.Adjust(t.Context(), "winter", -20, "fewer", "ann")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "how it ends is not known yet")
}
