package mysqlstore

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Whatever the fences, limits and modes: no serial lies in two activated epochs, and every place is taken, kept or free.
func TestFencesKeepSerialsApartAndPlacesWhole(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3, 5, 8, 13, 21, 34} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.opened("x", 60)
			b.mustExec("UPDATE campaigns SET starts_at = '2000-01-01', ends_at = '2100-01-01'")
			history{bundle: b, random: rand.New(rand.NewPCG(seed, seed)), users: new(int)}.run(25)
			require.Zero(t, scan[int](b, `SELECT COUNT(*) FROM campaign_epochs x JOIN campaign_epochs y ON x.epoch < y.epoch
				WHERE x.opened_at IS NOT NULL AND y.opened_at IS NOT NULL AND x.hi_max >= y.lo`))
			require.Zero(t, scan[int](b, "SELECT COUNT(*) FROM campaigns WHERE issued <> (SELECT COUNT(*) FROM coupons)"))
		})
	}
}

type history struct {
	*bundle
	random *rand.Rand
	users  *int
}

func (h history) run(fences int) {
	for range fences {
		h.claim(h.random.IntN(8))
		h.adjust()
		mode := coupon.ModeRedis
		if h.random.IntN(3) == 0 {
			mode = coupon.ModeSQL
		}
		next := h.fenced("x", mode)
		h.whole(next)
		for h.random.IntN(4) == 0 && next.EpochState == coupon.EpochLoading {
			h.age("x", 10*time.Second)
			taken, err := h.TakeOverEpoch(h.tb.Context(), next.Ref(), mode)
			require.NoError(h.tb, err)
			h.whole(taken)
			next = taken
		}
		if next.EpochState == coupon.EpochLoading {
			h.activated(next)
		}
		h.retry()
	}
}

// claim takes up to n places of the current epoch.
func (h history) claim(n int) {
	h.tb.Helper()
	c := h.campaign("x")
	if c.Mode == coupon.ModeSQL {
		h.direct(c, n)
		return
	}
	for serial := c.Lo; n > 0 && serial <= c.HiWanted; n-- {
		serial += h.grant(h.newcomer(c.Epoch, serial), c.HiWanted)
	}
}

// grant gives a serial out and returns how many places that took: its claim becomes a row, or fails, or meets another one
// with the same serial, as after a Redis that was rewound.
func (h history) grant(claim coupon.Claim, last int64) int64 {
	h.tb.Helper()
	kind := h.random.IntN(4)
	if kind == 0 {
		h.keep(claim, coupon.FailurePending)
		return 1
	}
	require.Equal(h.tb, coupon.OutcomeIssued, h.issued("x", delivery(claim))[0].Outcome)
	if kind > 1 || claim.Serial == last {
		return 1
	}
	clash := h.issued("x", delivery(h.newcomer(claim.Epoch, claim.Serial)))[0]
	require.Equal(h.tb, coupon.ReasonSerialTaken, clash.Reason)
	return 2
}

func (h history) direct(c coupon.Campaign, n int) {
	h.tb.Helper()
	wishes := make([]coupon.Claim, n)
	for i := range wishes {
		wishes[i] = h.newcomer(c.Epoch, 0)
	}
	settled, err := h.Direct(h.tb.Context(), "x", c.Epoch, wishes)
	require.NoError(h.tb, err)
	for i, s := range settled {
		if c.NextSerial+int64(i) <= c.HiWanted {
			require.Equal(h.tb, coupon.Granted, s.Verdict)
			continue
		}
		require.Equal(h.tb, coupon.RefusedSoldOut, s.Verdict)
	}
}

func (h history) newcomer(epoch, serial int64) coupon.Claim {
	*h.users++
	return claimOf("x", fmt.Sprint("u", *h.users), 1, epoch, serial)
}

// adjust raises the stock, wishes to lower it, or does neither.
func (h history) adjust() {
	h.tb.Helper()
	by := int64(h.random.IntN(10) + 1)
	switch h.random.IntN(3) {
	case 0:
		_, err := h.RaiseLimit(h.tb.Context(), "x", by, "", "")
		require.NoError(h.tb, err)
	case 1:
		_, err := h.BeginLowering(h.tb.Context(), "x", by, "", "")
		if coupon.CodeOf(err) != coupon.CodeLimitBelowClaimed {
			require.NoError(h.tb, err)
		}
	}
}

// retry issues what failed and is due.
func (h history) retry() {
	h.tb.Helper()
	events, err := h.TakeFailures(h.tb.Context(), "token", h.random.IntN(5)+1, time.Minute)
	require.NoError(h.tb, err)
	for _, e := range events {
		result := h.issued("x", coupon.Delivery{Claim: e.Claim, FailedID: e.ID})[0]
		require.Equal(h.tb, coupon.OutcomeIssued, result.Outcome, "a place was kept for it: %+v", result)
	}
}

func (h history) whole(c coupon.Campaign) {
	h.tb.Helper()
	totals := h.totals("x")
	require.Equal(h.tb, c.Limit, totals.Issued+totals.Live()+c.Hi-c.Lo+1)
	require.Zero(h.tb, c.Lowering)
	require.Equal(h.tb, c.HiWanted, c.Hi)
	require.Equal(h.tb, 1, scan[int](h.bundle, "SELECT COUNT(*) FROM campaign_epochs WHERE state <> 'closed'"))
}
