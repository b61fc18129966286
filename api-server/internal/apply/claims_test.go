package apply

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestClaimIsToldAsItStands(t *testing.T) {
	t.Parallel()
	down := errors.New("away")
	row := coupon.Coupon{Claim: coupon.Claim{Key: key("u"), Serial: 7}, Code: "X"}
	held := granted(key("u"), 7)
	held.Verdict = coupon.Held
	acked := held
	acked.Mark = coupon.MarkAcked
	holds := func(d coupon.Decision) func(coupon.Key) (coupon.Decision, error) {
		return func(coupon.Key) (coupon.Decision, error) { return d, nil }
	}
	cases := []struct {
		name   string
		change func(b *bench)
		status coupon.ClaimStatus
		code   coupon.Code
	}{
		{"nothing known", func(*bench) {}, "", coupon.CodeClaimNotFound},
		{"a row", func(b *bench) { b.row = func(coupon.Key) (coupon.Coupon, bool, error) { return row, true, nil } }, coupon.StatusIssued, ""},
		{"reserved", func(b *bench) { b.held = holds(held) }, coupon.StatusPending, ""},
		{"acked", func(b *bench) { b.held = holds(acked) }, coupon.StatusAccepted, ""},
		{"acked, epoch closed", func(b *bench) {
			b.held = holds(acked)
			b.standing = func() (coupon.Standing, error) { return coupon.Standing{Epoch: 2, State: coupon.EpochActive}, nil }
		}, coupon.StatusPending, ""},
		{"waiting for batch", func(b *bench) {
			b.held = holds(acked)
			b.failure = func(coupon.Key) (coupon.FailureStatus, bool, error) { return coupon.FailurePending, true, nil }
		}, coupon.StatusPending, ""},
		{"parked", func(b *bench) {
			b.held = holds(acked)
			b.failure = func(coupon.Key) (coupon.FailureStatus, bool, error) { return coupon.FailureParked, true, nil }
		}, coupon.StatusFailed, ""},
		{"database away, held", func(b *bench) {
			b.row = func(coupon.Key) (coupon.Coupon, bool, error) { return coupon.Coupon{}, false, down }
			b.held = holds(acked)
		}, coupon.StatusPending, ""},
		{"database away, not held", func(b *bench) {
			b.row = func(coupon.Key) (coupon.Coupon, bool, error) { return coupon.Coupon{}, false, down }
		}, "", coupon.CodeUnavailable},
		{"Redis lost its state", func(b *bench) { b.held = holds(coupon.Decision{Verdict: coupon.Broken}) }, "", coupon.CodeUnavailable},
		{"Redis away", func(b *bench) {
			b.held = func(coupon.Key) (coupon.Decision, error) { return coupon.Decision{}, down }
		}, "", coupon.CodeUnavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			c.change(b)
			answer, err := b.service.Claim(t.Context(), key("u"))
			require.Equal(t, c.code, coupon.CodeOf(err))
			require.Equal(t, c.status, answer.Status)
		})
	}
}

// mute is a record that answers nothing until its caller's time is up.
type mute struct{ *bench }

func (mute) FailuresOf(ctx context.Context, _ string, _ []coupon.Key) (map[coupon.Key]coupon.FailureStatus, error) {
	<-ctx.Done()
	return nil, coupon.Unavailable("read failed events", ctx.Err())
}

// hurried is a Redis that answers at once, but not to a caller whose time is up.
type hurried struct{ *bench }

func (h hurried) Held(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return h.bench.Held(ctx, campaign, epoch, keys)
}

// MySQL is silent and Redis holds the claim: the holder is told pending, and soon.
func TestAClaimIsReadWhileMySQLIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.service.record, b.service.stock = mute{b}, hurried{b}
		b.held = func(k coupon.Key) (coupon.Decision, error) {
			d := granted(k, 7)
			d.Verdict, d.Mark = coupon.Held, coupon.MarkAcked
			return d, nil
		}
		for range 2 {
			start := time.Now()
			answer, err := b.service.Claim(t.Context(), key("holder"))
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(start), time.Second)
			require.Equal(t, coupon.StatusPending, answer.Status)
		}
		require.True(t, b.service.database.away(), "else the next reader waits as long")
	})
}

// A reader who leaves says nothing about the database.
func TestAReaderThatLeavesIsNoOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.service.record = mute{b}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	_, err := b.service.Claim(ctx, key("u"))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.False(t, b.service.database.away())
}
