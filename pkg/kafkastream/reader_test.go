package kafkastream

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func publishAll(t *testing.T, topic string, claims []coupon.Claim) {
	t.Helper()
	ctx, cancel := within(20 * time.Second)
	defer cancel()
	for _, err := range producer(t, realBroker(t), topic, room).PublishAll(ctx, claims) {
		require.NoError(t, err)
	}
}

func TestCommitIsTheHighestOfEachPartition(t *testing.T) {
	t.Parallel()
	topic, group := testenv.Topic(t, 2), testenv.Group()
	publishAll(t, topic, claimsOf(40))
	r := reader(t, realBroker(t), group, topic)
	records := fetch(t, r, 40)
	want := map[int]int64{}
	for _, record := range records {
		want[record.Partition] = max(want[record.Partition], record.Offset+1)
	}
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	ctx, cancel := within(20 * time.Second)
	defer cancel()
	require.NoError(t, r.Commit(ctx, records))
	require.NoError(t, r.Commit(ctx, nil))

	lags, err := admin(t).Lag(ctx, group, topic)
	require.NoError(t, err)
	require.Len(t, lags, 2)
	for _, lag := range lags {
		require.Equal(t, want[lag.Partition], lag.Committed)
		require.Zero(t, lag.Lag())
	}
}

func TestWhatWasNotCommittedComesAgain(t *testing.T) {
	t.Parallel()
	topic, group := testenv.Topic(t, 1), testenv.Group()
	publishAll(t, topic, claimsOf(10))
	first := reader(t, realBroker(t), group, topic)
	records := fetch(t, first, 10)
	ctx, cancel := within(20 * time.Second)
	defer cancel()
	require.NoError(t, first.Commit(ctx, records[:4]))
	require.NoError(t, first.Close())
	_, err := first.Fetch(ctx)
	require.ErrorIs(t, err, io.EOF)

	again := fetch(t, reader(t, realBroker(t), group, topic), 6)
	require.Equal(t, records[4].Position(), again[0].Position())
	require.Equal(t, records[9].Position(), again[5].Position())
}

// member reads and commits until it is closed, and remembers what it handled.
type member struct {
	reader *Reader
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	handled map[string]bool
	parts   map[int]bool
}

func join(t *testing.T, group, topic string) *member {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{
		reader: reader(t, realBroker(t), group, topic), stop: cancel,
		handled: map[string]bool{}, parts: map[int]bool{},
	}
	m.wg.Go(func() { m.loop(ctx) })
	t.Cleanup(m.leave)
	return m
}

func (m *member) loop(ctx context.Context) {
	for {
		record, err := m.reader.Fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue
		}
		m.mu.Lock()
		m.handled[string(record.Key)] = true
		m.parts[record.Partition] = true
		m.mu.Unlock()
		_ = m.reader.Commit(ctx, []Record{record})
	}
}

func (m *member) leave() {
	m.stop()
	m.wg.Wait()
	_ = m.reader.Close()
}

func (m *member) partitions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.parts)
}

func handled(members ...*member) int {
	all := map[string]bool{}
	for _, m := range members {
		m.mu.Lock()
		for key := range m.handled {
			all[key] = true
		}
		m.mu.Unlock()
	}
	return len(all)
}

func TestMembersShareAndTakeOver(t *testing.T) {
	t.Parallel()
	topic, group := testenv.Topic(t, 4), testenv.Group()
	p := producer(t, realBroker(t), topic, room)
	sent := 0
	send := func() {
		require.NoError(t, publish(p, claimOf(sent), 10*time.Second))
		sent++
	}
	a, b := join(t, group, topic), join(t, group, topic)
	await(t, 60*time.Second, func() bool {
		send()
		return a.partitions() > 0 && b.partitions() > 0
	})
	a.leave()
	b.mu.Lock()
	clear(b.parts)
	b.mu.Unlock()
	await(t, 60*time.Second, func() bool {
		send()
		return b.partitions() == 4
	})
	await(t, 30*time.Second, func() bool { return handled(a, b) == sent })

	ad := admin(t)
	await(t, 30*time.Second, func() bool {
		ctx, cancel := within(10 * time.Second)
		defer cancel()
		lags, err := ad.Lag(ctx, group, topic)
		return err == nil && TotalLag(lags) == 0
	})
}

func TestReaderIsBoundedWithoutBroker(t *testing.T) {
	t.Parallel()
	topic, group := testenv.Topic(t, 1), testenv.Group()
	publishAll(t, topic, claimsOf(2))
	through := newProxy(t)
	r := reader(t, through.config(), group, topic)
	records := fetch(t, r, 2)
	through.stall()

	ctx, cancel := within(time.Second)
	defer cancel()
	begin := time.Now()
	err := r.Commit(ctx, records)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	_, err = r.Fetch(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begin), 2*time.Second)

	begin = time.Now()
	_ = r.Close()
	require.Less(t, time.Since(begin), closeTimeout+time.Second)
}

func TestErrorLogIsThinned(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &errorLog{logger: slog.New(slog.NewTextHandler(&out, nil)), limit: rate.NewLimiter(0, complaints)}
	for i := range 1000 {
		l.Printf("broker %d is down", i)
	}
	require.Equal(t, complaints, strings.Count(out.String(), "level=WARN"))
	require.Contains(t, out.String(), "broker 0 is down")
}

func TestReaderNeedsAGroup(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { NewReader(Config{Brokers: []string{"x:1"}}, "", "topic", slog.Default()) })
}
