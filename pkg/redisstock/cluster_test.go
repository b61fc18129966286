package redisstock

import (
	"errors"
	"net"
	"net/url"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestClaimInACluster(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, bus, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	server := testenv.PrivateRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus)
	require.NoError(t, connect(t, server.URL).client.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	u, err := url.Parse(server.URL)
	require.NoError(t, err)

	b := connect(t, "redis://"+u.Host+","+u.Host)
	require.IsType(t, &redis.ClusterClient{}, b.client)
	await(t, "the cluster is up", func() bool {
		return b.client.Ping(t.Context()).Err() == nil && errors.Is(b.client.Get(t.Context(), "x").Err(), redis.Nil)
	})
	doc := newDocument(2)
	doc.Seal, err = b.Seal(t.Context(), doc.Campaign)
	require.NoError(t, err)
	b.start(t, doc)
	require.Equal(t, coupon.Granted, b.claimOne(t, doc, "kim").Verdict)
	require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("kim")}))
	require.Equal(t, coupon.MarkAcked, b.claimOne(t, doc, "kim").Mark)
	doc.Version++
	_, err = b.Push(t.Context(), doc)
	require.NoError(t, err)
	snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
	require.NoError(t, err)
	require.Equal(t, Snapshot{Exists: true, Document: doc, Count: 1, Members: 1, Serials: 1}, snapshot)
	levels, err := b.Levels(t.Context(), []*coupon.Campaign{{ID: doc.Campaign, Epoch: 1}, {ID: "another", Epoch: 1}})
	require.NoError(t, err)
	require.Equal(t, []coupon.Level{{Last: 1, Version: 2, Known: true}, {}}, levels)
	weak, err := b.Weaknesses(t.Context())
	require.NoError(t, err)
	require.Len(t, weak, 1)
}
