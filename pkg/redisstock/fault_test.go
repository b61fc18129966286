package redisstock

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestScriptFlushIsInvisible(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.PrivateRedis(t).URL)
	const callers, batches = 16, 100
	doc := b.start(t, newDocument(callers*batches*2))
	ctx, stop := context.WithCancel(t.Context())
	var flushes atomic.Int64
	var flusher sync.WaitGroup
	flusher.Go(func() {
		for ctx.Err() == nil {
			if b.client.ScriptFlush(ctx).Err() == nil {
				flushes.Add(1)
			}
		}
	})
	var group errgroup.Group
	for caller := range callers {
		group.Go(func() error {
			for i := range batches {
				keys := crowd(strconv.Itoa(caller)+"-"+strconv.Itoa(i)+"-", 2)
				if _, err := b.Claim(ctx, doc.Campaign, doc.Epoch, keys); err != nil {
					return err
				}
				if err := b.Forget(ctx, doc.Campaign, doc.Epoch, keys[:1]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	stop()
	flusher.Wait()
	require.NoError(t, err)
	require.Positive(t, flushes.Load())
	snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
	require.NoError(t, err)
	require.Equal(t, []int64{doc.Hi, doc.Hi / 2}, []int64{snapshot.Count, snapshot.Pending})
}

func TestClaimKeepsTheCallersDeadline(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.PrivateRedis(t).URL)
	doc := b.start(t, newDocument(10))
	require.NoError(t, b.client.Do(t.Context(), "CLIENT", "PAUSE", 60_000).Err())

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	started := time.Now()
	_, err := b.Claim(ctx, doc.Campaign, doc.Epoch, []coupon.Key{keyFor("kim")})
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.Less(t, time.Since(started), 800*time.Millisecond, "not the client's own second")
}

func TestEveryCallTellsThatRedisIsAway(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t)
	b := connect(t, server.URL)
	doc := b.start(t, newDocument(10))
	server.Kill()
	calls := map[string]func(context.Context) error{
		"claim": func(ctx context.Context) error {
			_, err := b.Claim(ctx, doc.Campaign, 1, []coupon.Key{keyFor("kim")})
			return err
		},
		"forget": func(ctx context.Context) error {
			return b.Forget(ctx, doc.Campaign, 1, []coupon.Key{keyFor("kim")})
		},
		"take": func(ctx context.Context) error {
			_, err := b.TakePending(ctx, doc.Campaign, 1, coupon.Take{Limit: 1})
			return err
		},
		"prepare": func(ctx context.Context) error { return b.Prepare(ctx, doc) },
		"open":    func(ctx context.Context) error { return b.Open(ctx, doc) },
		"push":    func(ctx context.Context) error { _, err := b.Push(ctx, doc); return err },
		"fence":   func(ctx context.Context) error { _, err := b.Fence(ctx, refOf(doc)); return err },
		"load": func(ctx context.Context) error {
			return b.Load(ctx, refOf(doc), rows("u", 1, 1), coupon.MarkIssued)
		},
		"loaded":  func(ctx context.Context) error { _, err := b.Loaded(ctx, refOf(doc)); return err },
		"discard": func(ctx context.Context) error { return b.Discard(ctx, doc.Campaign, 2) },
		"seal":    func(ctx context.Context) error { _, err := b.Seal(ctx, doc.Campaign); return err },
		"counts": func(ctx context.Context) error {
			_, err := b.Levels(ctx, []*coupon.Campaign{{ID: doc.Campaign}})
			return err
		},
		"held": func(ctx context.Context) error {
			_, err := b.Held(ctx, doc.Campaign, 1, []coupon.Key{keyFor("kim")})
			return err
		},
		"snapshot":   func(ctx context.Context) error { _, err := b.Snapshot(ctx, doc.Campaign, 1); return err },
		"weaknesses": func(ctx context.Context) error { _, err := b.Weaknesses(ctx); return err },
	}
	for name, call := range calls {
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(call(t.Context())), name)
	}
}

func TestReplyOfTheWrongShapeIsUnknown(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.Redis(t))
	for _, source := range []string{
		"return {1, 2}", "return {1, 2, 0}", "return {1, 2, -9}", "return {1, 2, {}}", "return {'x', 2, 1}",
		"return {1, 2, 3, 4}", "return {}", "return 1",
	} {
		b.claim = redis.NewScript(source)
		_, err := b.Claim(t.Context(), "any", 1, []coupon.Key{keyFor("kim")})
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), source)
	}
}
