package kafkastream

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// The hashes are those of Kafka's own test of its murmur2 (UtilsTest.testMurmur2).
func TestPartitionIsTheOneJavaClientsChoose(t *testing.T) {
	t.Parallel()
	hashes := map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	}
	parts := &routing{}
	for i := range Partitions {
		parts.ids = append(parts.ids, i)
	}
	for key, hash := range hashes {
		require.Equal(t, int(hash&0x7fffffff)%Partitions, parts.partition([]byte(key)), key)
	}
	require.Zero(t, parts.partition(event.Key(claimOf(42))), "winter-2026:u-42 must stay where it is")
}

func TestEveryClaimIsReadBack(t *testing.T) {
	t.Parallel()
	const callers, each = 64, 157 // some 10,000
	topic := testenv.Topic(t, Partitions)
	p := producer(t, realBroker(t), topic, room)
	var wg sync.WaitGroup
	var failed atomic.Int64
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				if publish(p, claimOf(caller*each+i), 10*time.Second) != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, failed.Load())

	seen := map[string]coupon.Claim{}
	positions := map[string]bool{}
	for _, r := range fetch(t, reader(t, realBroker(t), testenv.Group(), topic), callers*each) {
		claim := decode(t, r)
		seen[claim.User] = claim
		positions[r.Position()] = true
		require.Equal(t, string(event.Key(claim)), string(r.Key))
		require.Equal(t, event.Headers(claim), r.Headers)
		require.Equal(t, r.Partition, p.parts.Load().partition(r.Key))
		require.Greater(t, r.HighWaterMark, r.Offset)
	}
	require.Len(t, positions, callers*each)
	require.Len(t, seen, callers*each)
	for i := range callers * each {
		require.Equal(t, claimOf(i), seen[fmt.Sprintf("u-%d", i)])
	}
}

func TestPublishAll(t *testing.T) {
	t.Parallel()
	topic := testenv.Topic(t, 3)
	p := producer(t, realBroker(t), topic, 100) // less room than claims
	ctx, cancel := within(20 * time.Second)
	defer cancel()
	for i, err := range p.PublishAll(ctx, claimsOf(1234)) {
		require.NoError(t, err, i)
	}
	fetch(t, reader(t, realBroker(t), testenv.Group(), topic), 1234)

	ended, end := context.WithCancel(context.Background())
	end()
	for _, err := range p.PublishAll(ended, claimsOf(3)) {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Empty(t, p.PublishAll(ctx, nil))
}

func TestPublishFromDoneFindsRoom(t *testing.T) {
	t.Parallel()
	p := producer(t, realBroker(t), testenv.Topic(t, 1), 1)
	second := make(chan error, 1)
	p.Publish(claimOf(1), time.Now().Add(10*time.Second), func(error) {
		p.Publish(claimOf(2), time.Now().Add(10*time.Second), func(err error) { second <- err })
	})
	require.NoError(t, <-second)
}

func TestCloseFlushes(t *testing.T) {
	t.Parallel()
	p := NewProducer(realBroker(t), testenv.Topic(t, Partitions), room)
	var acks atomic.Int64
	for i := range 1500 {
		p.Publish(claimOf(i), time.Now().Add(10*time.Second), func(err error) {
			if err == nil {
				acks.Add(1)
			}
		})
	}
	ctx, cancel := within(10 * time.Second)
	defer cancel()
	require.NoError(t, p.Close(ctx))
	require.EqualValues(t, 1500, acks.Load())
	require.ErrorIs(t, publish(p, claimOf(1), time.Second), ErrClosed)
	require.NoError(t, p.Close(ctx), "a second Close is a no-op")
}
