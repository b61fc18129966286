package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
)

var errLocked = coupon.Unavailable("issue", errors.New("1205: lock wait timeout exceeded"))

// outage makes the database silent whenever down is set.
func outage(b *bench) (down *atomic.Bool) {
	down = new(atomic.Bool)
	silence := func() error {
		if down.Load() {
			return errors.New("connection refused")
		}
		return nil
	}
	works := b.record.issue
	b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
		if err := silence(); err != nil {
			return nil, err
		}
		return works(ctx, c, d)
	}
	b.record.ping = func(context.Context) error { return silence() }
	b.record.park = func(context.Context, []coupon.FailedEvent) error { return silence() }
	return down
}

// lock makes every transaction of one campaign fail, while the database answers, until it is unset.
func lock(b *bench, campaign string) (locked *atomic.Bool) {
	locked = new(atomic.Bool)
	locked.Store(true)
	works := b.record.issue
	b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
		if locked.Load() && c == campaign {
			return nil, errLocked
		}
		return works(ctx, c, d)
	}
	return locked
}

func TestOtherCampaignsGoFirst(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.config.Lanes = 1 // the steps are in order
		locked := lock(b, "a")
		b.send("c", "u1")
		b.send("a", "u1", "u2")
		b.send("b", "u1")
		b.start()
		b.requireSteps("issue a 2 failed", "issue b 1", "issue c 1")
		locked.Store(false)
		b.pass(shortestPause * 2)
		b.requireSteps("issue a 2 failed", "issue b 1", "issue c 1", "issue a 2", "commit 0-3")
		require.NoError(t, b.end())
	})
}

func TestStuckCampaignIsGivenUpInOneCall(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		locked := lock(b, "a")
		b.send("a", "u1", "u2", "u3")
		want := b.claim("a", "u4")
		b.send("a", "u4")
		b.send("b", "u1")
		began := time.Now()
		b.start()

		b.pass(29 * time.Second)
		require.Zero(t, b.count("park"))
		require.Zero(t, b.count("commit"))
		b.pass(4 * time.Second)
		require.Equal(t, 1, b.count("park 4"))
		require.Equal(t, 1, b.count("commit 0-4"))
		require.Equal(t, 1, b.count("issue b"))
		last := b.failedEvents()[3]
		require.Equal(t, want.EventKey(), last.EventKey)
		require.Equal(t, want.Key, last.Claim.Key)
		require.Equal(t, "a", last.Campaign)
		require.Equal(t, int64(1), last.Epoch)
		require.Equal(t, event.Encode(last.Claim), last.Payload)
		require.Equal(t, coupon.ReasonTransientExhausted, last.Reason)
		require.Equal(t, coupon.FailurePending, last.Status)
		require.Contains(t, last.Error, "1205")
		require.Equal(t, last.CreatedAt, last.NextAttemptAt, "due at once")
		require.WithinRange(t, last.NextAttemptAt, began.Add(30*time.Second), began.Add(33*time.Second))
		require.Len(t, b.lines.with(`"msg":"failed event"`), 4)

		b.send("a", "u5") // still stuck: one try is enough now, or every batch would hold the crowd up for 30 s
		synctest.Wait()
		require.Equal(t, 1, b.count("park 1"))

		locked.Store(false)
		b.send("a", "u6")
		synctest.Wait()
		require.Equal(t, 1, b.count("issue a 1")-b.count("issue a 1 failed"))

		locked.Store(true) // it has worked since: its patience is whole again
		b.send("a", "u7")
		synctest.Wait()
		b.pass(20 * time.Second)
		require.Len(t, b.failedEvents(), 5)
		locked.Store(false)
		require.NoError(t, b.end())
	})
}

func TestOutageNeverParks(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.config.Lanes = 1 // or b is begun beside a
		down := outage(b)
		down.Store(true)
		b.send("a", "u1")
		b.append([]byte("garbage"), nil)
		b.send("b", "u1")
		b.start()
		b.pass(time.Hour)
		require.Empty(t, b.failedEvents())
		require.Zero(t, b.count("commit"))
		require.Zero(t, b.count("issue b"), "nobody answers: the rest of the round would meet the same fate")
		require.Less(t, len(b.lines.with("did not take a batch")), 721, "one line in 5 s at most")

		down.Store(false)
		b.pass(longestPause * 2)
		require.Equal(t, 1, b.count("commit 0-2"))
		require.Len(t, b.failedEvents(), 1)
		require.Equal(t, coupon.FailureDead, b.failedEvents()[0].Status)
		require.NoError(t, b.end())
	})
}

func TestOutageStartsPatienceAnew(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		lock(b, "a")
		down := outage(b)
		b.send("a", "u1")
		b.start()
		b.pass(25 * time.Second)
		down.Store(true)
		b.pass(10 * time.Second)
		down.Store(false)
		b.pass(25 * time.Second)
		require.Empty(t, b.failedEvents(), "25 s before an outage and 25 s after it are not 30 s")
		b.pass(5*time.Second + 3*longestPause) // a pause may be longer by half: one before the patience begins, one after it
		require.Len(t, b.failedEvents(), 1)
		require.NoError(t, b.end())
	})
}

func TestParkingFailureHoldsTheOffset(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		var broken atomic.Bool
		broken.Store(true)
		b.record.park = func(context.Context, []coupon.FailedEvent) error {
			if broken.Load() {
				return errLocked
			}
			return nil
		}
		b.append(nil, nil)
		b.send("a", "u1")
		b.start()
		b.pass(10 * time.Minute)
		require.Zero(t, b.count("commit"))
		require.Equal(t, 1, b.count("issue a 1"), "what is done is not done again")
		broken.Store(false)
		b.pass(longestPause * 2)
		require.Equal(t, 1, b.count("commit 0-1"))
		require.NoError(t, b.end())
	})
}
