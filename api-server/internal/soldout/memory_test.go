package soldout

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestStrangersAreRefusedAndHoldersNever(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.ready(t)
		for _, holder := range keys("h", 3) {
			require.False(t, b.Refuses(&b.c, b.now, b.now, holder), "%s holds a claim", holder.User)
			holder.N = 2
			require.True(t, b.Refuses(&b.c, b.now, b.now, holder), "%s holds the first, not the second", holder.User)
		}
		for _, stranger := range keys("s", 1000) {
			require.True(t, b.Refuses(&b.c, b.now, b.now, stranger))
		}
	})
}

// What Redis said before the holders were read says nothing about those read.
func TestNobodyIsRefusedBeforeRedisSaysSoAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.False(t, b.refuses("stranger"), "nothing was heard")
		b.hears(soldOutAt3...)
		require.False(t, b.refuses("stranger"), "nobody is known")
		pass(100 * time.Millisecond)
		b.now = time.Now()
		require.False(t, b.refuses("stranger"), "not confirmed since")
		b.hears(soldOutAt3...)
		require.True(t, b.refuses("stranger"))
	})
}

// Each thing that the view says must be what Redis agreed with, by itself.
func TestAnotherViewIsAskedAboutAnew(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.ready(t)
		for name, change := range map[string]func(c *coupon.Campaign, asOf, now *time.Time){
			"another epoch":   func(c *coupon.Campaign, _, _ *time.Time) { c.Epoch++ },
			"raised":          func(c *coupon.Campaign, _, _ *time.Time) { c.Hi++ },
			"lowered":         func(c *coupon.Campaign, _, _ *time.Time) { c.Hi-- },
			"another version": func(c *coupon.Campaign, _, _ *time.Time) { c.Version++ },
			"mode sql":        func(c *coupon.Campaign, _, _ *time.Time) { c.Mode = coupon.ModeSQL },
			"fencing":         func(c *coupon.Campaign, _, _ *time.Time) { c.EpochState = coupon.EpochFencing },
			"loading":         func(c *coupon.Campaign, _, _ *time.Time) { c.EpochState = coupon.EpochLoading },
			"retired":         func(c *coupon.Campaign, _, _ *time.Time) { c.EpochState = coupon.EpochClosed },
			"paused":          func(c *coupon.Campaign, _, _ *time.Time) { c.Status = coupon.CampaignPaused },
			"closed":          func(c *coupon.Campaign, _, _ *time.Time) { c.Status = coupon.CampaignClosed },
			"near its end":    func(c *coupon.Campaign, _, now *time.Time) { c.EndsAt = now.Add(clockDoubt) },
			"past its end":    func(c *coupon.Campaign, _, now *time.Time) { c.EndsAt = now.Add(-time.Minute) },
			"stale":           func(_ *coupon.Campaign, asOf, now *time.Time) { *asOf = now.Add(-viewAge - 1) },
			"an old answer":   func(_ *coupon.Campaign, asOf, now *time.Time) { *now = now.Add(answerAge); *asOf = *now },
		} {
			c, asOf, now := b.c, b.now, b.now
			change(&c, &asOf, &now)
			require.False(t, b.Refuses(&c, asOf, now, key("stranger")), name)
			require.True(t, b.refuses("stranger"), "what %s said must not last", name)
		}
		require.True(t, b.Refuses(&b.c, b.now.Add(-viewAge), b.now, key("stranger")))
		require.True(t, b.Refuses(&b.c, b.now.Add(viewAge), b.now, key("stranger")), "the view came after the apply")
	})
}

func TestOneApplyAsksForAll(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.ready(t)
		asked := b.now
		b.now = asked.Add(renewAfter)
		require.False(t, b.refuses("the first"), "is sent to Redis")
		for range 100 {
			require.True(t, b.refuses("stranger"), "need not wait for the first")
		}
		b.now = asked.Add(answerAge - 1)
		require.True(t, b.refuses("stranger"))
		b.now = asked.Add(answerAge)
		for range 100 {
			require.False(t, b.refuses("stranger"), "the first was not heard of")
		}
		pass(renewAfter)
		b.hears(soldOutAt3...)
		require.True(t, b.refuses("stranger"))
	})
}

// An answer is as old as the question, however long it was on its way.
func TestAnAnswerAgesFromItsQuestion(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.ready(t)
		asked := time.Now()
		pass(answerAge)
		b.Heard(&b.c, soldOutAt3, asked)
		b.now = time.Now()
		require.False(t, b.refuses("stranger"))
	})
}

func TestWhatEndsIt(t *testing.T) {
	for name, ends := range map[string]coupon.Decision{
		"granted":     {Verdict: coupon.Granted},
		"not started": {Verdict: coupon.RefusedNotStarted},
		"ended":       {Verdict: coupon.RefusedEnded},
		"paused":      {Verdict: coupon.RefusedPaused},
		"other epoch": {Verdict: coupon.WrongEpoch},
		"unsealed":    {Verdict: coupon.Unsealed},
		"broken":      {Verdict: coupon.Broken},
		"raised":      {Verdict: coupon.RefusedSoldOut, Hi: 4},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				b.ready(t)
				b.hears(coupon.Decision{Verdict: coupon.Held}, coupon.Decision{Verdict: coupon.RefusedPerUserLimit})
				require.True(t, b.refuses("stranger"), "a holder's answer says nothing about the others")
				b.hears(coupon.Decision{Verdict: coupon.Held}, ends)
				require.False(t, b.refuses("stranger"))
				require.Equal(t, int64(room), b.loader.room)
				b.hears(soldOutAt3...)
				require.False(t, b.refuses("stranger"), "the holders are read anew")
				pass(100 * time.Millisecond)
				b.hears(soldOutAt3...)
				require.True(t, b.refuses("stranger"))
			})
		})
	}
}

func TestTheLastPlacesOfABatchSellItOut(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.ready(t)
		b.hears(coupon.Decision{Verdict: coupon.Granted}, soldOutAt3[0], coupon.Decision{Verdict: coupon.Held})
		require.True(t, b.refuses("stranger"))
	})
}

func TestTheNextEpochHasHoldersOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.ready(t)
		b.shelf.pages, b.shelf.total = [][]coupon.Key{keys("next", 3)}, 3
		b.c.Epoch++
		b.hears(soldOutAt3...)
		require.False(t, b.refuses("stranger"))
		pass(100 * time.Millisecond)
		b.hears(soldOutAt3...)
		require.False(t, b.refuses("next1"))
		require.True(t, b.refuses("h1"))
	})
}

// A load that ends after the epoch it read has gone is of no use to the next one.
func TestALateLoadIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.shelf.hold = make(chan struct{})
		b.hears(soldOutAt3...)
		pass(time.Second)
		b.c.Epoch++
		b.hears(soldOutAt3...)
		close(b.shelf.hold)
		pass(10 * time.Second)
		require.Nil(t, b.holders)
		require.Equal(t, int64(room), b.loader.room)
		b.hears(soldOutAt3...)
		pass(time.Second)
		b.hears(soldOutAt3...)
		require.True(t, b.refuses("stranger"))
		require.Equal(t, 1, b.shelf.most, "one load at a time")
	})
}

func TestHoldersThatNobodyAsksForAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.ready(t)
		for range 10 {
			pass(idle / 2)
			b.hears(soldOutAt3...)
			require.True(t, b.refuses("stranger"), "somebody asks")
		}
		for range 2 {
			pass(2 * idle)
			require.Nil(t, b.holders)
			require.Nil(t, b.current.Load())
			require.Equal(t, int64(room), b.loader.room)
			b.ready(t)
		}
	})
}

// Room that is given back is free: nothing holds on to what was dropped.
func TestDroppedHoldersAreFreed(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		for range 3 {
			b.ready(t)
			dropped := weak.Make(b.holders)
			b.hears(coupon.Decision{Verdict: coupon.Granted})
			require.Equal(t, int64(room), b.loader.room)
			runtime.GC()
			require.Nil(t, dropped.Value())
		}
	})
}
