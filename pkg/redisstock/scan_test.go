package redisstock

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func (b bundle) scanAll(t *testing.T, ref coupon.EpochRef) (all map[string]Entry, steps int) {
	t.Helper()
	all = map[string]Entry{}
	for cursor := uint64(0); ; {
		page, next, err := b.ScanSerials(t.Context(), ref, cursor)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), 2*scanStep, "a step is bounded")
		for _, e := range page {
			all[member(e.Claim.Key)] = e
		}
		steps++
		if cursor = next; cursor == 0 {
			return all, steps
		}
	}
}

func TestScanSerials(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(20)
		doc.PerUserLimit = 2
		ref := refOf(b.start(t, doc))
		b.claimAll(t, doc, crowd("u", 3)...)
		b.claimAll(t, doc, coupon.Key{User: "u0", N: 2})
		require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, crowd("u", 2)))
		k := keysOf(doc.Campaign, doc.Epoch)
		require.NoError(t, b.client.SRem(t.Context(), k.users, "u1").Err())
		require.NoError(t, b.client.HSet(t.Context(), k.serials, "torn", "what").Err())

		all, _ := b.scanAll(t, ref)

		require.Len(t, all, 5)
		require.Equal(t, Entry{Claim: coupon.Claim{Key: coupon.Key{Campaign: doc.Campaign, User: "torn", N: 1}, Epoch: 1}}, all["torn"])
		for name, want := range map[string]Entry{
			"u0":   {Claim: coupon.Claim{Serial: 1}, Mark: coupon.MarkAcked, Member: true, Stored: true},
			"u1":   {Claim: coupon.Claim{Serial: 2}, Mark: coupon.MarkAcked, Stored: true},
			"u2":   {Claim: coupon.Claim{Serial: 3}, Mark: coupon.MarkReserved, Member: true, Stored: true, Pending: true},
			"2/u0": {Claim: coupon.Claim{Serial: 4}, Mark: coupon.MarkReserved, Member: true, Stored: true, Pending: true},
		} {
			got := all[name]
			want.Claim.Key, _ = keyOf(doc.Campaign, name)
			want.Claim.Epoch, want.Claim.ClaimedAt = doc.Epoch, got.Claim.ClaimedAt
			require.Equal(t, want, got)
			require.False(t, got.Claim.ClaimedAt.IsZero())
		}

		keys := []coupon.Key{keyFor("nobody"), keyFor("u2"), {User: "u0", N: 2}}
		entries, err := b.Entries(t.Context(), ref, keys)
		require.NoError(t, err)
		require.Equal(t, []Entry{
			{Claim: coupon.Claim{Key: coupon.Key{Campaign: doc.Campaign, User: "nobody", N: 1}, Epoch: 1}}, all["u2"], all["2/u0"],
		}, entries)
		none, err := b.Entries(t.Context(), ref, nil)
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func TestScanTorn(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(10))
		b.claimAll(t, doc, crowd("u", 3)...)
		torn, err := b.ScanTorn(t.Context(), refOf(doc))
		require.NoError(t, err)
		require.Empty(t, torn)

		k := keysOf(doc.Campaign, doc.Epoch)
		require.NoError(t, b.client.SAdd(t.Context(), k.users, "bare", "x/y").Err())
		require.NoError(t, b.client.ZAdd(t.Context(), k.pending, redis.Z{Score: 1, Member: "waits"}).Err())
		torn, err = b.ScanTorn(t.Context(), refOf(doc))
		require.NoError(t, err)

		claim := func(user string, n int) coupon.Claim {
			return coupon.Claim{Key: coupon.Key{Campaign: doc.Campaign, User: user, N: n}, Epoch: 1}
		}
		require.ElementsMatch(t, []Entry{
			{Claim: claim("bare", 1), Member: true},
			{Claim: claim("x/y", 0), Member: true},
			{Claim: claim("waits", 1), Pending: true},
		}, torn)
	})
}

func TestScanGoesInSteps(t *testing.T) {
	t.Parallel()
	const crowd = 5000
	b := connect(t, testenv.Redis(t))
	doc := b.start(t, newDocument(crowd))
	keys := make([]coupon.Key, crowd)
	for i := range keys {
		keys[i] = keyFor(fmt.Sprintf("u%d", i))
	}
	for from := 0; from < crowd; from += 500 {
		b.claimAll(t, doc, keys[from:from+500]...)
	}

	all, steps := b.scanAll(t, refOf(doc))

	require.Len(t, all, crowd)
	require.Greater(t, steps, 4)
}

func TestScanOfKeysThatAreNot(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(10))
		b.claimAll(t, doc, crowd("u", 2)...)
		k := keysOf(doc.Campaign, doc.Epoch)
		for _, key := range []string{k.users, k.pending} {
			require.NoError(t, relist(t.Context(), b.client, key))
		}

		all, _ := b.scanAll(t, refOf(doc))
		require.Len(t, all, 2)
		require.False(t, all["u0"].Member || all["u0"].Pending, "%+v", all["u0"])
		torn, err := b.ScanTorn(t.Context(), refOf(doc))
		require.NoError(t, err)
		require.Empty(t, torn)
	})
}

func TestScanOfARedisThatIsAway(t *testing.T) {
	t.Parallel()
	b := connect(t, "redis://127.0.0.1:1")
	ref := coupon.EpochRef{Campaign: "x", Epoch: 1}
	_, _, err := b.ScanSerials(t.Context(), ref, 0)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	_, err = b.ScanTorn(t.Context(), ref)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	_, err = b.Entries(t.Context(), ref, []coupon.Key{keyFor("u")})
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
}
