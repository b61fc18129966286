package kafkastream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// laneUnderTest runs a lane in fake time. answers gets one entry a message: how long after the start it was answered.
type laneUnderTest struct {
	*lane
	start time.Time
	sent  map[*message]time.Duration // delivered
	given map[*message]time.Duration // expired
	sizes []int                      // of the batches tried
}

func (l *laneUnderTest) put(after time.Duration) *message {
	m := &message{deadline: l.start.Add(after)}
	l.queue <- m
	return m
}

// run calls test in a bubble. deliver says what an attempt comes to; nil means the batch was sent.
func runLane(t *testing.T, deliver func(ctx context.Context, batch []*message) error, test func(t *testing.T, l *laneUnderTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &laneUnderTest{start: time.Now(), sent: map[*message]time.Duration{}, given: map[*message]time.Duration{}}
		l.lane = &lane{
			queue: make(chan *message, room),
			deliver: func(ctx context.Context, batch []*message) (left []*message, cause error) {
				l.sizes = append(l.sizes, len(batch))
				cause = deliver(ctx, batch)
				for _, m := range batch {
					if cause != nil && m.partition == failing {
						left = append(left, m)
						continue
					}
					l.sent[m] = time.Since(l.start)
				}
				return left, cause
			},
			expire: func(m *message, _ error) { l.given[m] = time.Since(l.start) },
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		quit := make(chan struct{})
		defer close(quit)
		go l.run(ctx, quit)
		test(t, l)
	})
}

const failing = 0 // the partition of the messages that an attempt that fails leaves

func stalled(ctx context.Context, _ []*message) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestLaneAnswersEveryMessageByItsDeadline(t *testing.T) {
	t.Parallel()
	deadlines := []time.Duration{10 * time.Second, time.Second, 3 * time.Second, 50 * time.Millisecond, time.Millisecond, -time.Second}
	runLane(t, stalled, func(t *testing.T, l *laneUnderTest) {
		want := map[*message]time.Duration{}
		for _, d := range deadlines {
			want[l.put(d)] = max(d, 0)
		}
		synctest.Wait()
		late := l.put(2 * time.Second) // while the lane is busy with the others
		want[late] = 2 * time.Second
		time.Sleep(11 * time.Second) //nolint:forbidigo // the bubble's fake clock
		synctest.Wait()
		require.Empty(t, l.sent)
		require.Len(t, l.given, len(want))
		for m, d := range want {
			require.LessOrEqual(t, l.given[m], d)
			require.GreaterOrEqual(t, l.given[m], d-2*tooLate)
		}
	})
}

func TestLaneSendsWhatIsLeftAfterAnOutage(t *testing.T) {
	t.Parallel()
	const outage = 3 * time.Second
	start := time.Time{}
	deliver := func(context.Context, []*message) error {
		if time.Since(start) < outage {
			return errors.New("connection refused")
		}
		return nil
	}
	runLane(t, deliver, func(t *testing.T, l *laneUnderTest) {
		start = l.start
		short, long := l.put(time.Second), l.put(time.Minute)
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's fake clock
		synctest.Wait()
		require.Contains(t, l.given, short)
		require.Contains(t, l.sent, long)
		require.LessOrEqual(t, l.sent[long], outage+longestPause)
		require.Less(t, len(l.sizes), 15, "a refused connection must not make a busy loop")
	})
}

func TestLaneKeepsNearlyExpiredMessagesFromCuttingABatch(t *testing.T) {
	t.Parallel()
	deliver := func(ctx context.Context, _ []*message) error {
		select { // a broker that takes 10 ms
		case <-time.After(10 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	runLane(t, deliver, func(t *testing.T, l *laneUnderTest) {
		nearly := l.put(5 * time.Millisecond)
		other := l.put(time.Minute)
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's fake clock
		synctest.Wait()
		require.Contains(t, l.given, nearly)
		require.Contains(t, l.sent, other)
		require.LessOrEqual(t, l.sent[other], 20*time.Millisecond)
	})
}

func TestLaneGathersWhileABatchIsOnItsWay(t *testing.T) {
	t.Parallel()
	deliver := func(context.Context, []*message) error {
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
		return nil
	}
	runLane(t, deliver, func(t *testing.T, l *laneUnderTest) {
		l.put(time.Minute)
		synctest.Wait()
		for range 1200 {
			l.put(time.Minute)
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's fake clock
		synctest.Wait()
		require.Equal(t, []int{1, batchLimit, batchLimit, 200}, l.sizes)
		require.Len(t, l.sent, 1201)
	})
}

func TestAPartitionThatFailsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	deliver := func(context.Context, []*message) error { return errors.New("not the leader") }
	runLane(t, deliver, func(t *testing.T, l *laneUnderTest) {
		stuck := map[*message]bool{}
		for range batchLimit + 100 {
			stuck[l.put(time.Second)] = true
		}
		sound := make([]*message, 10)
		for i := range sound {
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
			sound[i] = &message{partition: 1, deadline: l.start.Add(time.Minute)}
			l.queue <- sound[i]
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's fake clock
		synctest.Wait()
		require.Len(t, l.given, len(stuck))
		for m := range l.given {
			require.Contains(t, stuck, m)
		}
		for i, m := range sound {
			require.Contains(t, l.sent, m)
			require.LessOrEqual(t, l.sent[m]-time.Duration(i+1)*100*time.Millisecond, longestPause)
		}
		require.Less(t, len(l.sizes), 50, "a partition that fails must not make a busy loop")
	})
}

func TestLaneSendsWhoWaitsLongestFirst(t *testing.T) {
	t.Parallel()
	slow := func(context.Context, []*message) error {
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
		return nil
	}
	runLane(t, slow, func(t *testing.T, l *laneUnderTest) {
		early := make([]*message, 2*batchLimit)
		for i := range early {
			early[i] = l.put(time.Minute)
		}
		for range 20 { // each of these comes while the lane has a batch on its way and another waiting
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
			for range batchLimit / 4 {
				l.put(time.Minute)
			}
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's fake clock
		synctest.Wait()
		for _, m := range early {
			require.Contains(t, l.sent, m)
			require.LessOrEqual(t, l.sent[m], 40*time.Millisecond)
		}
	})
}

func TestRecordsAreReadOnce(t *testing.T) {
	t.Parallel()
	m := newMessage(claimOf(1), time.Time{}, nil)
	r := &records{batch: []*message{m, m}}
	for range 2 {
		record, err := r.ReadRecord()
		require.NoError(t, err)
		require.Equal(t, len(m.key), record.Key.Len())
		require.Equal(t, len(m.value), record.Value.Len())
		require.Len(t, record.Headers, len(m.headers))
		require.True(t, record.Time.IsZero())
	}
	_, err := r.ReadRecord()
	require.ErrorContains(t, err, "EOF")
}
