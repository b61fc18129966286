package redisstock

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// What changes a healthy Redis' identity is found, and what does not is not.
func TestLookAfterARestart(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{"without a log": nil, "with a log": {"--appendonly", "yes", "--appendfsync", "always"}}
	for name, args := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testenv.PrivateRedis(t, args...)
			b := connect(t, server.URL)
			doc, loading := b.startSealed(t), newDocument(10)
			loading.Seal = doc.Seal
			require.NoError(t, b.Prepare(t.Context(), loading))
			require.Equal(t, coupon.Unopened, b.look(t, loading).State)
			require.NoError(t, b.client.ScriptFlush(t.Context()).Err())
			require.Equal(t, coupon.Sound, b.look(t, doc).State, "a forgotten script is nothing")

			server.Kill()
			require.Equal(t, coupon.Unreachable, b.look(t, doc).State)
			server.Start()
			await(t, "Redis is back", func() bool { return b.client.Ping(t.Context()).Err() == nil })
			require.Equal(t, coupon.Lost, b.look(t, doc).State)
			require.Equal(t, coupon.Lost, b.look(t, loading).State)
			b.requireNoGrant(t, doc)
			require.ErrorIs(t, b.Open(t.Context(), loading), ErrUnsealed)

			next := doc
			next.Epoch, next.Lo, next.Hi = 2, 11, 20
			var err error
			next.Seal, err = b.Seal(t.Context(), doc.Campaign)
			require.NoError(t, err)
			b.start(t, next)
			require.EqualValues(t, 11, b.claimOne(t, next, "new").Claim.Serial)
			require.Equal(t, coupon.Sound, b.look(t, next).State)
			require.Equal(t, coupon.WrongEpoch, b.claimOne(t, doc, "late").Verdict)
		})
	}
}

func TestLookAfterAFlush(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.PrivateRedis(t).URL)
	doc := b.startSealed(t)
	require.NoError(t, b.client.FlushAll(t.Context()).Err())
	require.Equal(t, coupon.Lost, b.look(t, doc).State)
	b.requireNoGrant(t, doc)
}

func TestLookAroundAReplica(t *testing.T) {
	t.Parallel()
	master, standby := testenv.PrivateRedis(t), testenv.PrivateRedis(t)
	owner, copied := connect(t, master.URL), connect(t, standby.URL)
	doc := owner.startSealed(t)
	replicate(t, copied, master)
	require.Equal(t, coupon.Lost, owner.look(t, doc).State, "the first replica changes its master's id: attach it before opening")
	owner.requireNoGrant(t, doc)

	doc = owner.startSealed(t)
	second := connect(t, testenv.PrivateRedis(t).URL)
	replicate(t, second, master)
	require.Equal(t, coupon.Sound, owner.look(t, doc).State, "a second one changes nothing")
	await(t, "the replica has the claim", func() bool {
		held, err := copied.Held(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("holder")})
		return err == nil && held[0].Verdict == coupon.Held
	})
	require.Equal(t, coupon.Unreachable, copied.look(t, doc).State, "a replica is no answer")

	require.NoError(t, copied.client.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	require.Equal(t, coupon.Lost, copied.look(t, doc).State, "promoted")
	copied.requireNoGrant(t, doc)
	require.Equal(t, coupon.Held, copied.claimOne(t, doc, "holder").Verdict)
	require.Equal(t, coupon.Sound, owner.look(t, doc).State, "the old master goes on until it is demoted")

	next := doc
	next.Epoch, next.Lo, next.Hi = 2, 11, 20
	var err error
	next.Seal, err = copied.Seal(t.Context(), doc.Campaign)
	require.NoError(t, err)
	copied.start(t, next)
	require.Equal(t, coupon.Sound, copied.look(t, next).State)
	require.Equal(t, coupon.Lost, owner.look(t, next).State)
	owner.requireNoGrant(t, next)
}

// startSealed opens a campaign on the Redis that owns it, with one holder.
func (b bundle) startSealed(tb testing.TB) coupon.Document {
	tb.Helper()
	doc := newDocument(10)
	var err error
	doc.Seal, err = b.Seal(tb.Context(), doc.Campaign)
	require.NoError(tb, err)
	b.start(tb, doc)
	require.Equal(tb, coupon.Granted, b.claimOne(tb, doc, "holder").Verdict)
	return doc
}

func TestLookComparesTheSealWithTheRecord(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.Redis(t))
	doc := b.startSealed(t)
	other := doc
	other.Seal = "0123"
	require.Equal(t, coupon.Lost, b.look(t, other).State, "the record names another owner")
	other.Seal = ""
	require.Equal(t, coupon.Sound, b.look(t, other).State)
}

// Nothing is known of a Redis that does not answer, or that answers anything but the question.
func TestLookAtARedisThatCannotSay(t *testing.T) {
	t.Parallel()
	cases := map[string][]any{
		"paused":      {"CLIENT", "PAUSE", 60_000},
		"a password":  {"CONFIG", "SET", "requirepass", "secret"},
		"forbidden":   {"ACL", "SETUSER", "default", "-@scripting"},
		"no keys":     {"ACL", "SETUSER", "default", "resetkeys"},
		"no INFO":     {"ACL", "SETUSER", "default", "-info"},
		"master away": {"REPLICAOF", "127.0.0.1", "1"},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testenv.PrivateRedis(t, "--replica-serve-stale-data", "no")
			doc := connect(t, server.URL).startSealed(t)
			require.NoError(t, connect(t, server.URL).client.Do(t.Context(), spoil...).Err())
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			b := connect(t, server.URL)
			require.Equal(t, coupon.Unreachable, b.Look(ctx, []*coupon.Campaign{recorded(doc)})[0].State)
		})
	}
}
