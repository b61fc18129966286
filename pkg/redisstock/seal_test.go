package redisstock

import (
	"context"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestSealHoldsUntilRedisRestarts(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	b := connect(t, server.URL)
	seal, err := b.Seal(t.Context(), "any")
	require.NoError(t, err)
	require.Len(t, seal, 40)

	doc := newDocument(10)
	doc.Seal = seal
	b.start(t, doc)
	holder := b.claimOne(t, doc, "holder")
	require.Equal(t, coupon.Granted, holder.Verdict)
	doc.Version++
	_, err = b.Push(t.Context(), doc)
	require.NoError(t, err)

	server.Kill()
	_, err = b.Claim(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("new")})
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	server.Start()
	await(t, "Redis is back", func() bool { return b.client.Ping(t.Context()).Err() == nil })

	before := b.state(t, doc)
	decisions := b.claimAll(t, doc, keyFor("new"), keyFor("holder"))
	require.Equal(t, coupon.Unsealed, decisions[0].Verdict)
	require.Equal(t, holder.Claim, decisions[1].Claim)
	doc.Version++
	held, err := b.Push(t.Context(), doc)
	require.ErrorIs(t, err, ErrUnsealed)
	require.Equal(t, coupon.Pushed{Version: 2, Hi: 10, Last: 1}, held)
	require.ErrorIs(t, b.Open(t.Context(), doc), ErrUnsealed)
	require.Equal(t, before, b.state(t, doc))

	next := doc
	next.Epoch, next.Lo, next.Hi = 2, 11, 20
	require.NoError(t, b.Prepare(t.Context(), next))
	require.ErrorIs(t, b.Open(t.Context(), next), ErrUnsealed, "the seal of the life before")
	next.Seal, err = b.Seal(t.Context(), doc.Campaign)
	require.NoError(t, err)
	require.NotEqual(t, seal, next.Seal)
	require.NoError(t, b.Open(t.Context(), next))
	require.EqualValues(t, 11, b.claimOne(t, next, "new").Claim.Serial)

	require.NoError(t, b.client.FlushAll(t.Context()).Err())
	require.Equal(t, coupon.Broken, b.claimOne(t, next, "newer").Verdict, "an empty Redis is no full stock")
}

func TestSealOutranksStockAndPerUserLimit(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.Redis(t))
	doc := newDocument(0)
	b.start(t, doc)
	require.NoError(t, b.client.HSet(t.Context(), metaKey(doc.Campaign), "seal", "0123").Err())
	require.Equal(t, coupon.Unsealed, b.claimOne(t, doc, "kim").Verdict)
	require.Equal(t, coupon.Unsealed, b.claimAll(t, doc, coupon.Key{User: "kim", N: 2})[0].Verdict)
	require.NoError(t, b.client.Del(t.Context(), keysOf(doc.Campaign, doc.Epoch).count).Err())
	require.Equal(t, coupon.Broken, b.claimOne(t, doc, "kim").Verdict, "keys that disagree are learnt first")
}

// A server that does not answer INFO in scripts must not be taken for the owner of anything.
func TestSealFailsClosedWhereItCannotBeAsked(t *testing.T) {
	t.Parallel()
	b := connect(t, "redis://"+miniredis.RunT(t).Addr())
	_, err := b.Seal(t.Context(), "any")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))

	doc := b.start(t, newDocument(10))
	require.NoError(t, b.client.HSet(t.Context(), metaKey(doc.Campaign), "seal", "0123").Err())
	_, err = b.Claim(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("kim")})
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.Equal(t, "0", b.client.Get(context.Background(), keysOf(doc.Campaign, doc.Epoch).count).Val())
}
