package redisstock

import (
	"cmp"
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
	doc := b.start(t, newDocument(10))
	require.NoError(t, b.client.HSet(t.Context(), metaKey(doc.Campaign), "seal", "0123").Err())
	_, err := b.Claim(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("kim")})
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.Equal(t, "0", b.client.Get(context.Background(), keysOf(doc.Campaign, doc.Epoch).count).Val())
	found := b.Look(t.Context(), []*coupon.Campaign{recorded(doc)})
	require.Equal(t, coupon.Unreachable, found[0].State)
}

// Only a server that has no replication id at all may go unsealed.
func TestSealIsEmptyOnlyWithoutAReplicationID(t *testing.T) {
	t.Parallel()
	embedded := connect(t, "redis://"+miniredis.RunT(t).Addr())
	seal, err := embedded.Seal(t.Context(), "any")
	require.NoError(t, err)
	require.Empty(t, seal)

	cases := map[string]struct {
		spoil []any
		want  error
	}{
		"INFO is forbidden":   {[]any{"ACL", "SETUSER", "default", "-info"}, errInfoInScript},
		"EVAL is forbidden":   {[]any{"ACL", "SETUSER", "default", "-@scripting"}, errInfoInScript},
		"a replica":           {[]any{"REPLICAOF", "127.0.0.1", "1"}, errReplica},
		"all is forbidden":    {[]any{"ACL", "SETUSER", "default", "-@all"}, errInfoInScript},
		"a password is asked": {[]any{"CONFIG", "SET", "requirepass", "secret"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testenv.PrivateRedis(t)
			require.NoError(t, connect(t, server.URL).client.Do(t.Context(), c.spoil...).Err())
			_, err := connect(t, server.URL).Seal(t.Context(), "any")
			require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
			require.ErrorIs(t, err, cmp.Or(c.want, err))
		})
	}
}

// A replica has its master's replication id, and must not be taken for it.
func TestClaimIsNotDecidedByAReplica(t *testing.T) {
	t.Parallel()
	master, replica := testenv.PrivateRedis(t), testenv.PrivateRedis(t)
	owner, copied := connect(t, master.URL), connect(t, replica.URL)
	replicate(t, copied, master)
	doc := newDocument(1)
	var err error
	doc.Seal, err = owner.Seal(t.Context(), doc.Campaign)
	require.NoError(t, err)
	owner.start(t, doc)
	holder := owner.claimOne(t, doc, "holder")
	await(t, "the replica has the claim", func() bool {
		held, err := copied.Held(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("holder")})
		return err == nil && held[0].Verdict == coupon.Held
	})

	decisions := copied.claimAll(t, doc, keyFor("holder"), keyFor("new"))
	require.Equal(t, holder.Claim, decisions[0].Claim)
	require.Equal(t, coupon.Unsealed, decisions[1].Verdict, "it may be behind: it cannot say that the stock is gone")
	require.Equal(t, coupon.Unreachable, copied.Look(t.Context(), []*coupon.Campaign{recorded(doc)})[0].State)
	require.Equal(t, coupon.RefusedSoldOut, owner.claimOne(t, doc, "new").Verdict)
}
