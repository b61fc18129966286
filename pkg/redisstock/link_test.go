package redisstock

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// lossyLink forwards to Redis and loses replies: of each call of a script it asks lose whether to cut the connection
// when the reply comes.
func lossyLink(t *testing.T, rawURL string, lose func() bool) (linkURL string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	target := u.Host
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { forward(client, target, lose) })
		}
	})
	u.Host = listener.Addr().String()
	return u.String()
}

func forward(client net.Conn, target string, lose func() bool) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var cut atomic.Bool
	go func() {
		defer func() { _ = server.Close() }()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if bytes.Contains(buffer[:n], []byte("evalsha")) && lose() {
				cut.Store(true)
			}
			if _, writeErr := server.Write(buffer[:n]); err != nil || writeErr != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || cut.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestLostReplyIsUnknownAndTheRepeatIsHeld(t *testing.T) {
	t.Parallel()
	var armed atomic.Bool
	redisURL := testenv.Redis(t)
	direct := connect(t, redisURL)
	b := connect(t, lossyLink(t, redisURL, func() bool { return armed.CompareAndSwap(true, false) }))
	doc := direct.start(t, newDocument(10))
	require.Equal(t, coupon.Granted, b.claimOne(t, doc, "first").Verdict)

	armed.Store(true)
	_, err := b.Claim(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("kim"), keyFor("lee")})
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.ErrorIs(t, err, io.EOF)

	decisions := b.claimAll(t, doc, keyFor("lee"), keyFor("kim"), keyFor("park"))
	require.Equal(t, []coupon.Verdict{coupon.Held, coupon.Held, coupon.Granted},
		[]coupon.Verdict{decisions[0].Verdict, decisions[1].Verdict, decisions[2].Verdict})
	require.Equal(t, []int64{3, 2, 4},
		[]int64{decisions[0].Claim.Serial, decisions[1].Claim.Serial, decisions[2].Claim.Serial})
	require.Equal(t, "4", b.client.Get(t.Context(), keysOf(doc.Campaign, doc.Epoch).count).Val())
	pending, err := b.TakePending(t.Context(), doc.Campaign, doc.Epoch, coupon.Take{Limit: 10, Lease: time.Hour, Overdue: -time.Minute})
	require.NoError(t, err)
	require.Len(t, pending, 4, "a grant nobody heard of is in the outbox")
}

func TestLostRepliesKeepTheStockExact(t *testing.T) {
	t.Parallel()
	const callers, each, limit = 16, 100, 1500
	redisURL := testenv.Redis(t)
	direct := connect(t, redisURL)
	var calls, unknown atomic.Int64
	b := connect(t, lossyLink(t, redisURL, func() bool { return calls.Add(1)%20 == 0 }))
	doc := direct.start(t, newDocument(limit))

	var mu sync.Mutex
	serials := map[int64]string{}
	group, ctx := errgroup.WithContext(t.Context())
	for caller := range callers {
		group.Go(func() error {
			for i := range each {
				key := keyFor(strconv.Itoa(caller) + "-" + strconv.Itoa(i))
				decisions, err := b.Claim(ctx, doc.Campaign, doc.Epoch, []coupon.Key{key})
				for err != nil && ctx.Err() == nil {
					unknown.Add(1)
					decisions, err = b.Claim(ctx, doc.Campaign, doc.Epoch, []coupon.Key{key})
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if decisions[0].Verdict != coupon.RefusedSoldOut {
					mu.Lock()
					serials[decisions[0].Claim.Serial] = key.User
					mu.Unlock()
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.Positive(t, unknown.Load())
	require.Len(t, serials, limit, "everybody who got a place knows it, and no place is lost")
	for serial := range int64(limit) {
		require.Contains(t, serials, serial+1)
	}
	require.Equal(t, strconv.Itoa(limit), direct.client.Get(t.Context(), keysOf(doc.Campaign, doc.Epoch).count).Val())
}
