package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// sendMany sends a claim to each of many campaigns, whose names are in order.
func sendMany(b *bench, campaigns int) {
	for i := range campaigns {
		b.send(fmt.Sprintf("c%02d", i), "u1")
	}
}

// readTimeout is the driver's: a call to a database that is gone takes so long.
const readTimeout = 10 * time.Second

// hang lets the transactions of the campaigns that it names end with their deadline only.
func hang(b *bench, hangs func(campaign string) bool) {
	works := b.record.issue
	b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
		if hangs(c) {
			<-ctx.Done()
			return nil, coupon.Unavailable("issue", ctx.Err())
		}
		return works(ctx, c, d)
	}
}

// gone is a database that takes some transactions and is then gone until it is back.
func gone(b *bench, after int64) (back *atomic.Bool) {
	back = new(atomic.Bool)
	var begun atomic.Int64
	wait := func(ctx context.Context, transactions int64) error {
		if back.Load() || transactions <= after {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		<-ctx.Done()
		return coupon.Unavailable("read", ctx.Err())
	}
	b.record.ping = func(ctx context.Context) error { return wait(ctx, begun.Load()) }
	b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
		if err := wait(ctx, begun.Add(1)); err != nil {
			return nil, err
		}
		return allIssued(ctx, c, d)
	}
	return back
}

func TestCampaignsAreIssuedSideBySide(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		var inside, most atomic.Int64
		hold := make(chan struct{})
		b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			<-hold
			return allIssued(ctx, c, d)
		}
		const campaigns, lanes = 10, 4
		b.config.Lanes = lanes
		sendMany(b, campaigns)
		b.start()
		for done := range campaigns {
			require.EqualValues(t, min(lanes, campaigns-done), inside.Load(), "a free lane takes the next campaign")
			require.Zero(t, b.count("commit"))
			hold <- struct{}{}
			synctest.Wait()
		}
		require.EqualValues(t, lanes, most.Load())
		require.Equal(t, campaigns, b.count("issue"))
		require.Equal(t, 1, b.count("commit 0-9"))
		require.NoError(t, b.end())
	})
}

func TestHangingCampaignStopsNobodyElse(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		hang(b, func(campaign string) bool { return campaign == "c00" })
		sendMany(b, 20)
		b.start()
		require.Equal(t, 19, b.count("issue"), "all others, and no time has passed")
		require.Zero(t, b.count("commit"))
		b.pass(attemptDeadline)
		require.Equal(t, []string{"issue c00 1 failed"}, b.failedSteps())
		require.Equal(t, 20, b.count("issue"), "another try would go past the patience, and what is done is not done again")
		require.Len(t, b.failedEvents(), 1)
		require.Equal(t, "c00", b.failedEvents()[0].Campaign)
		require.Equal(t, 1, b.count("commit 0-19"))
		require.NoError(t, b.end())
	})
}

// No more calls are begun than were on their way when the first of them learned that nobody answers, and no campaign is
// blamed.
func TestOutageInTheMiddleOfARound(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		const campaigns, before = 40, 5
		back := gone(b, before)
		sendMany(b, campaigns)
		b.start()
		require.Equal(t, before, b.count("issue"))
		b.pass(readTimeout + pingDeadline)
		require.Len(t, b.failedSteps(), b.config.Lanes)
		require.Equal(t, before+b.config.Lanes, b.count("issue"))
		b.pass(b.config.Patience * 2)
		require.Empty(t, b.failedEvents())
		require.Zero(t, b.count("commit"))

		back.Store(true)
		b.pass(readTimeout + longestPause*2)
		for i := range campaigns {
			name := fmt.Sprintf("issue c%02d 1", i)
			require.Equal(t, 1, b.count(name)-b.count(name+" failed"), name)
		}
		require.Empty(t, b.failedEvents())
		require.Equal(t, 1, b.count("commit 0-39"))
		require.NoError(t, b.end())
	})
}

// A transaction under way is not given up because another found the database silent: perhaps only a moment was bad.
func TestSilenceBreaksNothingOff(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		down := outage(b)
		down.Store(true)
		begun, hold, works := make(chan struct{}), make(chan struct{}), b.record.issue
		b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
			if c == "b" {
				close(begun)
				<-hold
				require.NoError(t, ctx.Err())
				return allIssued(ctx, c, d)
			}
			<-begun
			return works(ctx, c, d)
		}
		b.send("a", "u1")
		b.send("b", "u1")
		b.start()
		b.requireSteps("issue a 1 failed")
		close(hold)
		synctest.Wait()
		b.requireSteps("issue a 1 failed", "issue b 1")
		down.Store(false)
		b.pass(longestPause)
		b.requireSteps("issue a 1 failed", "issue b 1", "issue a 1", "commit 0-1")
		require.NoError(t, b.end())
	})
}

// A campaign has been stuck for nearly all its patience when the database goes away in the middle of its transaction.
func TestOutageIsNoCampaignsFault(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		back := gone(b, 0)
		back.Store(true)
		locked := lock(b, "a")
		b.send("a", "u1")
		b.send("b", "u1")
		b.start()
		b.pass(b.config.Patience - 5*time.Second)
		require.Positive(t, b.count("issue a 1 failed"))
		back.Store(false)
		locked.Store(false)
		b.pass(time.Minute)
		require.Empty(t, b.failedEvents())
		back.Store(true)
		b.pass(readTimeout + longestPause*2)
		require.Empty(t, b.failedEvents())
		require.Equal(t, 1, b.count("issue b"))
		require.Equal(t, 1, b.count("commit 0-1"))
		require.NoError(t, b.end())
	})
}

func TestShutdownIsBoundedWhileAllLanesHang(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		gone(b, 0)
		sendMany(b, 40)
		b.start()
		began := time.Now()
		require.NoError(t, b.end())
		require.Equal(t, b.config.Drain, time.Since(began))
		require.Zero(t, b.count("commit"))
		require.Empty(t, b.failedEvents())
		require.Len(t, b.lines.with("will be delivered again"), 1)
	})
}
