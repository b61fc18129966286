package mysqlstore

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func (b *bundle) lead() *Lead {
	b.tb.Helper()
	lead, err := b.Lead(b.tb.Context())
	require.NoError(b.tb, err)
	b.tb.Cleanup(lead.Release)
	return lead
}

func TestLeadIsOfOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.lead()
	_, err := b.Lead(t.Context())
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.ErrorContains(t, err, "another warden leads")
	require.NoError(t, first.Held(t.Context()))

	first.Release()
	require.Error(t, first.Held(t.Context()))
	won := atOnce(t, 5, func() (*Lead, error) { return b.Lead(t.Context()) })
	require.Len(t, won, 1)
	require.NoError(t, won[0].Held(t.Context()))
	won[0].Release()
	won[0].Release()
}

// The context of the call bounds the call, not the lead.
func TestLeadOutlivesItsCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	lead, err := b.Lead(ctx)
	require.NoError(t, err)
	t.Cleanup(lead.Release)
	cancel()
	require.NoError(t, lead.Held(t.Context()))
	_, err = b.Lead(t.Context())
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
}

func TestLeadEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.lead()
	var id int64
	require.NoError(t, first.tx.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id))
	b.mustExec("KILL ?", id)
	var second *Lead
	await(t, func() bool {
		var err error
		second, err = b.Lead(t.Context())
		return err == nil
	})
	t.Cleanup(second.Release)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(first.Held(t.Context())))
	require.NoError(t, second.Held(t.Context()))
}

// A leader that falls silent is cut off by the server, and its connection does not go to others with that bound on it.
func TestLeadIsBoundToSpeak(t *testing.T) {
	t.Parallel()
	b := setup(t)
	patience := scan[int](b, "SELECT @@wait_timeout")
	require.NotEqual(t, 15, patience)
	lead := b.lead()
	var bound int
	require.NoError(t, lead.tx.QueryRowContext(t.Context(), "SELECT @@wait_timeout").Scan(&bound))
	require.Equal(t, 15, bound)

	_, err := lead.tx.ExecContext(t.Context(), "SET SESSION wait_timeout = 1")
	require.NoError(t, err)
	var next *Lead
	await(t, func() bool {
		next, err = b.Lead(t.Context())
		return err == nil
	})
	require.Error(t, lead.Held(t.Context()))
	next.Release()
	for range 2 * defaultConns {
		require.Equal(t, patience, scan[int](b, "SELECT @@wait_timeout"))
	}
}

func TestHeldDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lead := b.lead()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(lead.Held(ctx)))
}

func TestLeadTakesOneConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lead := b.lead()
	require.Equal(t, 1, b.DB().Stats().InUse)
	for range 3 * defaultConns {
		_, err := b.Lead(t.Context())
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "a loser gives its connection back")
	}
	require.Equal(t, 1, b.DB().Stats().InUse)
	lead.Release()
	require.Zero(t, b.DB().Stats().InUse)
}
