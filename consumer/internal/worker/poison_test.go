package worker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
)

func TestPoisonIsKeptAndPassed(t *testing.T) {
	t.Parallel()
	foreign := strings.Replace(string(event.Encode(coupon.Claim{
		Key: coupon.Key{Campaign: "a", User: "u", N: 1}, Epoch: 1, Serial: 1, ClaimedAt: time.Unix(1, 0),
	})), `"v":1`, `"v":2`, 1)
	for name, value := range map[string][]byte{
		"garbage":         []byte("\x00\xff garbage"),
		"empty":           nil,
		"oversized":       make([]byte, event.MaxSize+1),
		"foreign version": []byte(foreign),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(b *bench) {
				b.send("a", "u1")
				b.append(value, nil)
				b.append(value, event.BarrierHeaders("fence")) // the same bytes, but a barrier: nothing
				b.send("a", "u2")
				b.start()
				b.requireSteps("issue a 2", "park 1", "commit 0-3")
				dead := b.failedEvents()[0]
				require.Equal(t, "claims:1:1", dead.EventKey)
				require.Equal(t, value, dead.Payload)
				require.Equal(t, coupon.ReasonMalformed, dead.Reason)
				require.Equal(t, coupon.FailureDead, dead.Status)
				require.Contains(t, dead.Error, "malformed event")
				require.Empty(t, dead.Campaign)
				require.Len(t, b.lines.with("claims:1:1"), 1)
				require.NoError(t, b.end())
			})
		})
	}
}

func TestLargePoisonIsKeptInPieces(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		for range 5 {
			b.append(make([]byte, 1<<20), nil)
		}
		b.start()
		b.requireSteps("park 2", "park 2", "park 1", "commit 0-4")
		require.Len(t, b.failedEvents(), 5)
		require.NoError(t, b.end())
	})
}

func TestPanicIsIsolated(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.record.issue = func(ctx context.Context, c string, deliveries []coupon.Delivery) ([]coupon.Result, error) {
			for _, d := range deliveries {
				if d.Claim.User == "bomb" {
					panic("boom")
				}
			}
			return allIssued(ctx, c, deliveries)
		}
		b.send("a", "u1", "bomb", "u2")
		b.send("b", "u1")
		b.start()
		b.pass(time.Second)
		require.Equal(t, 1, b.count("issue b 1"))
		require.Equal(t, 2, b.count("issue a 1"), "the others alone")
		require.Equal(t, 1, b.count("commit 0-3"))
		require.Len(t, b.failedEvents(), 1)
		dead := b.failedEvents()[0]
		require.Equal(t, "claims:1:1", dead.EventKey)
		require.Equal(t, "bomb", dead.Claim.User)
		require.Equal(t, coupon.ReasonPanic, dead.Reason)
		require.Equal(t, coupon.FailureDead, dead.Status)
		require.Equal(t, "panic: boom", dead.Error)
		require.NotEmpty(t, b.lines.with("poison_test.go"), "a stack that names the place")
		require.NoError(t, b.end())
	})
}
