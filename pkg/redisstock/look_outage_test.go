package redisstock

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// A campaign in mode sql has no seal, and a Redis that came back empty has no document: whether that Redis can hold an
// epoch at all must be asked nevertheless, or the warden ends an epoch that serves for one that can never be loaded.
func TestLookTellsARedisThatCannotHoldAnEpoch(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"a replica":                 {"--replicaof", "127.0.0.1", "1"},
		"too few replicas to write": {"--min-replicas-to-write", "1"},
		"out of memory":             {"--maxmemory", "1", "--maxmemory-policy", "noeviction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := connect(t, testenv.PrivateRedis(t, args...).URL)
			doc := newDocument(3)
			doc.Epoch = 2
			err := b.Prepare(t.Context(), doc)
			if err == nil {
				err = b.Load(t.Context(), refOf(doc), []coupon.Claim{{Key: keyFor("old"), Serial: 1}}, coupon.MarkIssued)
			}
			require.Error(t, err, "the next epoch cannot be loaded there")
			inSQL := &coupon.Campaign{ID: doc.Campaign, Epoch: 1, EpochState: coupon.EpochActive, Mode: coupon.ModeSQL, Lo: 1}
			found := b.Look(t.Context(), []*coupon.Campaign{inSQL})[0]
			require.Equal(t, coupon.Unreachable, found.State, "the warden takes it for a Redis that is back: %s", found.Why)
		})
	}
}

// An open epoch whose Redis takes no writes grants nothing: that is an outage, not a sound state.
func TestLookTellsARedisThatCannotGrant(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.PrivateRedis(t).URL)
	doc := newDocument(3)
	var err error
	doc.Seal, err = b.Seal(t.Context(), doc.Campaign)
	require.NoError(t, err)
	doc = b.start(t, doc)
	require.NoError(t, b.client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	_, err = b.Claim(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("u")})
	require.Error(t, err, "nobody is granted anything")
	c := &coupon.Campaign{
		ID: doc.Campaign, Epoch: 1, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Lo: 1, Seal: doc.Seal,
		StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour),
	}
	require.NotEqual(t, coupon.Sound, b.Look(t.Context(), []*coupon.Campaign{c})[0].State, "so no fallback ever begins")
}

// One shard of a cluster that is silent must not take the campaigns of the others to mode sql.
func TestLookASilentShardIsNotTheWholeCluster(t *testing.T) {
	t.Parallel()
	b, servers := cluster(t)
	away := replicationID(t, servers[0])
	campaigns, seals := make([]*coupon.Campaign, 30), make([]string, 30)
	for i := range campaigns {
		campaigns[i] = &coupon.Campaign{ID: testenv.Campaign(), Epoch: 1, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Lo: 1}
		var err error
		seals[i], err = b.Seal(t.Context(), campaigns[i].ID)
		require.NoError(t, err)
	}
	requireReached := func(reached func(seal string) bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // as the warden gives it
		defer cancel()
		for i, h := range b.Look(ctx, campaigns) {
			require.Equal(t, reached(seals[i]), h.State != coupon.Unreachable, "%+v", h)
		}
	}
	requireReached(func(string) bool { return true })
	pid := processOf(t, servers[0])
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	requireReached(func(seal string) bool { return seal != away })
}
