package redisstock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// rewound is a Redis that lost its last second and restarted: its keys agree with one another, its seal is broken, and the
// holder's claim is gone.
func rewound(t *testing.T) (bundle, coupon.Document) {
	t.Helper()
	b := connectPatiently(t, testenv.Redis(t))
	doc := newDocument(10)
	var err error
	doc.Seal, err = b.Seal(t.Context(), doc.Campaign)
	require.NoError(t, err)
	b.start(t, doc)
	k := keysOf(doc.Campaign, doc.Epoch)
	require.Equal(t, coupon.Granted, b.claimOne(t, doc, "holder").Verdict)
	require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("holder")})) // the log has it: accepted
	require.NoError(t, b.client.Del(t.Context(), k.users, k.serials, k.pending).Err())
	require.NoError(t, b.client.Set(t.Context(), k.count, doc.Lo-1, 0).Err())
	require.NoError(t, b.client.HSet(t.Context(), k.meta, "seal", "0000000000000000000000000000000000000000").Err())
	require.Equal(t, coupon.Unsealed, b.claimOne(t, doc, "holder").Verdict)
	return b, doc
}

// A Redis that does not own the epoch cannot say who has no claim.
func TestHeldOfAnUnsealedRedisNeverSaysNobody(t *testing.T) {
	t.Parallel()
	b, doc := rewound(t)
	held, err := b.Held(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("holder")})
	require.NoError(t, err)
	require.NotEqual(t, coupon.Decision{}, held[0], "claim_not_found to a user who was told accepted")
}

// Nor may it tell them that the campaign ended, is paused or has not begun.
func TestAnUnsealedRedisRefusesNobodyByTheWindow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		field string
		value any
	}{
		"ended":       {"closes", time.Now().Add(-time.Second).UnixMilli()},
		"paused":      {"state", "paused"},
		"closed":      {"state", "closed"},
		"not started": {"opens", time.Now().Add(time.Minute).UnixMilli()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, doc := rewound(t)
			require.NoError(t, b.client.HSet(t.Context(), metaKey(doc.Campaign), c.field, c.value).Err())
			require.Equal(t, coupon.Unsealed, b.claimOne(t, doc, "holder").Verdict, "told %s, and holds an accepted claim", name)
		})
	}
}
