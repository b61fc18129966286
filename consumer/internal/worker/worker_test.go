package worker

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/kafkastream"
)

func TestOffsetsFollowEveryTransaction(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.config.Lanes = 1 // the steps are in order
		issuing, parking := make(chan struct{}), make(chan struct{})
		b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
			<-issuing
			return allIssued(ctx, c, d)
		}
		b.record.park = func(context.Context, []coupon.FailedEvent) error {
			<-parking
			return nil
		}
		b.send("b", "u1")
		b.append([]byte("garbage"), nil)
		b.send("a", "u1", "u2")
		b.start()
		b.requireSteps()

		issuing <- struct{}{}
		synctest.Wait()
		b.requireSteps("issue a 2")
		issuing <- struct{}{}
		synctest.Wait()
		b.requireSteps("issue a 2", "issue b 1")
		close(parking)
		synctest.Wait()
		b.requireSteps("issue a 2", "issue b 1", "park 1", "commit 0-3")
		require.NoError(t, b.end())
	})
}

func TestBatchIsWhatIsQueued(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.config.Batch = 3
		b.send("a", "u1", "u2", "u3", "u4", "u5")
		b.start()
		b.requireSteps("issue a 3", "commit 0-2", "issue a 2", "commit 3-4")
		b.send("a", "u6")
		synctest.Wait()
		require.Equal(t, 1, b.count("issue a 1"))
		require.NoError(t, b.end())
	})
}

func TestReadsAheadTwoBatchesOnly(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.config.Batch = 2
		hold := make(chan struct{})
		b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
			<-hold
			return allIssued(ctx, c, d)
		}
		b.send("a", "1", "2", "3", "4", "5", "6", "7", "8", "9")
		b.start()
		require.Len(t, b.log, 9-2-4-1, "2 in hand, 4 queued, 1 waiting for room")
		close(hold)
		synctest.Wait()
		require.Empty(t, b.log)
		require.NoError(t, b.end())
	})
}

func TestFailedCommitIsCoveredByTheNext(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		broken := true
		b.source.commit = func(context.Context, []kafkastream.Record) error {
			if broken {
				broken = false
				return errors.New("the coordinator is away")
			}
			return nil
		}
		b.config.Batch = 1
		b.send("a", "u1", "u2")
		b.start()
		b.requireSteps("issue a 1", "commit 0-0 failed", "issue a 1", "commit 1-1")
		require.Len(t, b.lines.with("offsets were not committed"), 1)
		require.NoError(t, b.end())
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.config.Batch, b.config.Rate = 10, 5
		for range 30 {
			b.send("a", "u")
		}
		began := time.Now()
		b.source.commit = func(_ context.Context, records []kafkastream.Record) error {
			if records[len(records)-1].Offset == 29 {
				b.stop()
			}
			return nil
		}
		b.start()
		require.NoError(t, <-b.ended)
		require.Equal(t, 3, b.count("issue a 10"))
		// The first batch is the burst, less the barrier that came before it; the next 20 rows take 4 s.
		require.InDelta(t, 4.2, time.Since(began).Seconds(), 0.05)
	})
}

func TestShutdownFinishesTheBatchInHand(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.config.Batch = 2
		hold := make(chan struct{})
		b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
			<-hold
			require.NoError(t, ctx.Err(), "the signal must not reach the transaction")
			return allIssued(ctx, c, d)
		}
		b.send("a", "u1", "u2", "u3", "u4")
		b.start()
		b.stop()
		synctest.Wait()
		b.requireSteps()
		close(hold)
		require.NoError(t, <-b.ended)
		b.requireSteps("issue a 2", "commit 0-1") // and not the batch that was queued
	})
}

func TestShutdownIsBounded(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		outage(b).Store(true)
		b.send("a", "u1")
		b.start()
		began := time.Now()
		require.NoError(t, b.end())
		require.Equal(t, b.config.Drain, time.Since(began))
		require.Zero(t, b.count("commit"))
		require.Zero(t, b.count("park"))
		require.Len(t, b.lines.with("will be delivered again"), 1)
	})
}

func TestFetchTroubleIsRetried(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		attempts, working := 0, b.source.fetch
		b.source.fetch = func(ctx context.Context) (kafkastream.Record, error) {
			if attempts++; attempts <= 100 {
				return kafkastream.Record{}, coupon.Unavailable("fetch", errors.New("no leader"))
			}
			return working(ctx)
		}
		b.send("a", "u1")
		began := time.Now()
		b.start()
		for b.count("commit") == 0 {
			b.pass(time.Second)
		}
		b.requireSteps("issue a 1", "commit 0-0")
		require.Less(t, time.Since(began), 100*longestPause*3/2)
		require.Less(t, len(b.lines.with("cannot be read")), 60, "one line in 5 s at most")
		require.NoError(t, b.end())
	})
}

func TestLostLogEndsTheWorker(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"closed": io.EOF, "offset lost": kafkastream.ErrOffsetLost} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(b *bench) {
				working := b.source.fetch
				b.source.fetch = func(ctx context.Context) (kafkastream.Record, error) {
					if len(b.log) == 0 {
						return kafkastream.Record{}, cause
					}
					return working(ctx)
				}
				b.send("a", "u1")
				b.start()
				require.ErrorIs(t, <-b.ended, cause)
				b.requireSteps("issue a 1", "commit 0-0") // what was read is finished first
			})
		})
	}
}

// A fence waits for the log to be drained: then nobody is spared, also not who waits for the limit already.
func TestAFenceLiftsTheRate(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.config.Batch, b.config.Rate = 10, 0.1
		for range 50 {
			b.send("a", "u")
		}
		b.source.commit = func(_ context.Context, records []kafkastream.Record) error {
			b.committed.Store(records[len(records)-1].Offset)
			return nil
		}
		began := time.Now()
		b.start()
		b.requireSteps() // the burst is less than a batch, for the barrier that came before

		b.worker.Pace().Lift(true)
		synctest.Wait()
		require.Equal(t, int64(49), b.committed.Load())
		require.Zero(t, time.Since(began))

		b.worker.Pace().Lift(true) // as at every look
		b.worker.Pace().Lift(false)
		b.send("a", "u")
		synctest.Wait()
		require.Equal(t, int64(50), b.committed.Load(), "the limit owes nothing for what went past it")
		for range 10 {
			b.send("a", "u")
		}
		b.pass(time.Second)
		require.Less(t, b.committed.Load(), int64(60), "and it is back")
		require.NoError(t, b.end())
	})
}
