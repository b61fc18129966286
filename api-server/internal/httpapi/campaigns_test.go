package httpapi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Redis is away, or a fence is at work, and every place is a row: MySQL says so by itself.
func TestASoldOutCampaignIsNotOpenWhileItsLevelIsUnknown(t *testing.T) {
	t.Parallel()
	a := &API{levels: &fake{}}
	c := winter
	c.Epoch, c.EpochState, c.Mode, c.Lo, c.Hi = 1, coupon.EpochFencing, coupon.ModeRedis, 1, 100
	c.Issued = c.Limit
	require.Equal(t, coupon.SoldOut, a.public(&c, time.Now()).Availability)

	c.Epoch, c.EpochState = 2, coupon.EpochLoading       // nothing is free: hi = lo - 1
	c.Lo, c.Hi, c.HiWanted, c.Issued = 111, 110, 110, 90 // ten are carried
	require.Equal(t, coupon.SoldOut, a.public(&c, time.Now()).Availability)
}

// The view is of the next epoch and the level, for up to half a second, of the one before.
func TestTheLevelOfAnotherEpochIsNotSubtracted(t *testing.T) {
	t.Parallel()
	a := &API{levels: &fake{level: coupon.Level{Known: true, Last: 10, Epoch: 1}}}
	c := winter
	c.Epoch, c.EpochState, c.Mode = 2, coupon.EpochLoading, coupon.ModeRedis
	c.Issued, c.Lo, c.Hi, c.HiWanted = 10, 101, 190, 190
	p := a.public(&c, time.Now())
	require.Nil(t, p.Remaining)
	require.Equal(t, coupon.Open, p.Availability)
}
