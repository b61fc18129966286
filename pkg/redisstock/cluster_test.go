package redisstock

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// cluster starts three masters that share the slots, and connects to all of them.
func cluster(t *testing.T) (b bundle, servers []*testenv.RedisServer) {
	t.Helper()
	const slots = 16384
	var hosts []string
	for i := range 3 {
		bus := testenv.FreePort(t)
		server := testenv.PrivateRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "60000")
		u, err := url.Parse(server.URL)
		require.NoError(t, err)
		node := connect(t, server.URL).client
		require.NoError(t, node.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", slots*i/3, slots*(i+1)/3-1).Err())
		if i > 0 {
			host, port, err := net.SplitHostPort(hosts[0])
			require.NoError(t, err)
			first, err := connect(t, servers[0].URL).client.ConfigGet(t.Context(), "cluster-port").Result()
			require.NoError(t, err)
			require.NoError(t, node.Do(t.Context(), "CLUSTER", "MEET", host, port, first["cluster-port"]).Err())
		}
		hosts, servers = append(hosts, u.Host), append(servers, server)
	}
	for _, server := range servers {
		node := connect(t, server.URL).client
		await(t, "every node knows the cluster", func() bool {
			state, err := node.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(state, "cluster_state:ok") && strings.Contains(state, "cluster_known_nodes:3")
		})
	}
	b = connect(t, "redis://"+strings.Join(hosts, ","))
	require.IsType(t, &redis.ClusterClient{}, b.client)
	await(t, "the cluster is up", func() bool {
		return b.client.Ping(t.Context()).Err() == nil && errors.Is(b.client.Get(t.Context(), "x").Err(), redis.Nil)
	})
	return b, servers
}

func TestClaimInACluster(t *testing.T) {
	t.Parallel()
	b, servers := cluster(t)
	var err error
	seals, docs := map[string]bool{}, make([]coupon.Document, 24)
	for i := range docs {
		doc := newDocument(3)
		doc.Seal, err = b.Seal(t.Context(), doc.Campaign)
		require.NoError(t, err)
		seals[doc.Seal] = true
		old := []coupon.Claim{{Key: keyFor("old"), Serial: 1}}
		doc.Epoch, doc.Lo, doc.Hi, doc.Base = 2, 2, 3, 1
		require.NoError(t, b.Prepare(t.Context(), doc))
		require.NoError(t, b.Load(t.Context(), refOf(doc), old, coupon.MarkIssued))
		loaded, err := b.Loaded(t.Context(), refOf(doc))
		require.NoError(t, err)
		require.EqualValues(t, 1, loaded)
		require.NoError(t, b.Open(t.Context(), doc))
		require.Equal(t, coupon.Granted, b.claimOne(t, doc, "kim").Verdict)
		require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, []coupon.Key{keyFor("kim")}))
		require.Equal(t, coupon.MarkAcked, b.claimOne(t, doc, "kim").Mark)
		doc.Version++
		_, err = b.Push(t.Context(), doc)
		require.NoError(t, err)
		snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, Snapshot{Exists: true, Document: doc, Count: 2, Members: 2, Serials: 2}, snapshot)
		require.NoError(t, b.Discard(t.Context(), doc.Campaign, doc.Epoch))
		docs[i] = doc
	}
	require.Len(t, seals, len(servers), "each campaign is sealed to the master of its own slot")

	levels, err := b.Levels(t.Context(), []*coupon.Campaign{recorded(docs[0]), {ID: "another", Epoch: 1}})
	require.NoError(t, err)
	require.Equal(t, []coupon.Level{{Last: 2, Epoch: 2, Version: 2, Known: true}, {}}, levels)
	weak, err := b.Weaknesses(t.Context())
	require.NoError(t, err)
	require.Len(t, weak, 2, "each said once: %v", weak)

	campaigns := make([]*coupon.Campaign, len(docs))
	for i, doc := range docs {
		campaigns[i] = recorded(doc)
	}
	for _, health := range b.Look(t.Context(), campaigns) {
		require.Equal(t, coupon.Health{State: coupon.Sound}, health)
	}
	for _, server := range servers {
		seal, err := connect(t, server.URL).Seal(t.Context(), docs[0].Campaign)
		require.True(t, seal == docs[0].Seal || err != nil, "a node seals nothing of another's slots")
	}
}

// What one node does, or does not, changes nothing for the campaigns of the others in a round trip.
func TestOneNodeAwayFailsItsOwnBatches(t *testing.T) {
	t.Parallel()
	b, servers := cluster(t)
	var batches []coupon.Batch
	var campaigns []*coupon.Campaign
	var seals []string
	away := replicationID(t, servers[1])
	for len(batches) < 12 || !slices.Contains(seals, away) {
		doc := newDocument(10)
		var err error
		doc.Seal, err = b.Seal(t.Context(), doc.Campaign)
		require.NoError(t, err)
		b.start(t, doc)
		batches = append(batches, coupon.Batch{EpochRef: refOf(doc), Keys: []coupon.Key{keyFor("kim"), keyFor("lee")}})
		seals, campaigns = append(seals, doc.Seal), append(campaigns, recorded(doc))
	}
	requireOthers := func(what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond) // as the api-server gives it
		defer cancel()
		for i, decided := range b.ClaimAll(ctx, batches) {
			if seals[i] == away {
				require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(decided.Err), what)
				continue
			}
			require.NoError(t, decided.Err, what)
			require.Equal(t, coupon.MarkAcked, decided.Decisions[1].Mark, "it was forgotten before")
		}
		require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(b.ForgetAll(ctx, batches)))
		ctx, cancel = context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		levels, err := b.Levels(ctx, campaigns)
		require.Error(t, err)
		for i, level := range levels {
			require.Equal(t, seals[i] != away, level.Known, what)
		}
	}

	for i, decided := range b.ClaimAll(t.Context(), batches) {
		require.NoError(t, decided.Err)
		require.Equal(t, batches[i].Campaign, decided.Decisions[0].Claim.Campaign)
		require.EqualValues(t, 2, decided.Decisions[1].Claim.Serial)
	}
	require.NoError(t, b.ForgetAll(t.Context(), batches))

	pid := processOf(t, servers[1])
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	requireOthers("a silent node")
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	servers[1].Kill()
	requireOthers("a dead node")
}

// A slot that went to another master is followed there.
func TestClaimsFollowASlotThatMoved(t *testing.T) {
	t.Parallel()
	b, servers := cluster(t)
	docs := make([]coupon.Document, 2)
	for i := range docs {
		docs[i] = b.start(t, newDocument(10))
	}
	asked := []coupon.Batch{{EpochRef: refOf(docs[0]), Keys: crowd("u", 1)}, {EpochRef: refOf(docs[1]), Keys: crowd("u", 1)}}
	for _, decided := range b.ClaimAll(t.Context(), asked) {
		require.NoError(t, decided.Err)
	}
	cluster := b.client.(*redis.ClusterClient)
	slot, err := b.client.ClusterKeySlot(t.Context(), metaKey(docs[0].Campaign)).Result()
	require.NoError(t, err)
	from, err := cluster.MasterForKey(t.Context(), metaKey(docs[0].Campaign))
	require.NoError(t, err)
	var to *redis.Client
	for _, server := range servers {
		if node := connect(t, server.URL).client.(*redis.Client); !strings.HasSuffix(from.Options().Addr, node.Options().Addr) {
			to = node
		}
	}
	id, err := to.ClusterMyID(t.Context()).Result()
	require.NoError(t, err)
	old, err := from.ClusterMyID(t.Context()).Result()
	require.NoError(t, err)
	require.NoError(t, to.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "IMPORTING", old).Err())
	require.NoError(t, from.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "MIGRATING", id).Err())
	host, port, err := net.SplitHostPort(to.Options().Addr)
	require.NoError(t, err)
	keys, err := from.ClusterGetKeysInSlot(t.Context(), int(slot), 100).Result()
	require.NoError(t, err)
	migrate := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
	for _, key := range keys {
		migrate = append(migrate, key)
	}
	require.NoError(t, from.Do(t.Context(), migrate...).Err())
	followed := func(what string, n int) {
		t.Helper()
		for i := range asked {
			asked[i].Keys = crowd("u", n)
		}
		for _, decided := range b.ClaimAll(t.Context(), asked) {
			require.NoError(t, decided.Err, what)
			require.Equal(t, coupon.Held, decided.Decisions[0].Verdict, what)
			require.Equal(t, coupon.Granted, decided.Decisions[n-1].Verdict, what)
		}
	}
	followed("it is moving", 2)
	for _, node := range []*redis.Client{to, from} {
		require.NoError(t, node.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", id).Err())
	}
	followed("it has moved", 3)
	await(t, "the next call goes there at once", func() bool {
		master, err := cluster.MasterForKey(t.Context(), metaKey(docs[0].Campaign))
		return err == nil && strings.HasSuffix(to.Options().Addr, master.Options().Addr)
	})
}

// replicationID is the history of a server: what the campaigns of its slots are sealed to.
func replicationID(t *testing.T, server *testenv.RedisServer) string {
	t.Helper()
	replication, err := info(t.Context(), connect(t, server.URL).client, "replication")
	require.NoError(t, err)
	return replication["master_replid"]
}

// processOf is the process id of a server that answers.
func processOf(t *testing.T, server *testenv.RedisServer) int {
	t.Helper()
	about, err := connect(t, server.URL).client.InfoMap(t.Context(), "server").Result()
	require.NoError(t, err)
	pid, err := strconv.Atoi(about["Server"]["process_id"])
	require.NoError(t, err)
	return pid
}

// What one node of a cluster does is learnt of its campaigns, and of no other.
func TestLookInAClusterJudgesEachNode(t *testing.T) {
	t.Parallel()
	b, servers := cluster(t)
	docs := map[string]coupon.Document{}
	var err error
	for len(docs) < len(servers) {
		doc := newDocument(10)
		doc.Seal, err = b.Seal(t.Context(), doc.Campaign)
		require.NoError(t, err)
		if _, found := docs[doc.Seal]; !found {
			docs[doc.Seal] = b.start(t, doc)
		}
	}
	seals := make([]string, len(servers))
	for i, server := range servers {
		seals[i] = replicationID(t, server)
	}
	look := func() []coupon.HealthState {
		found := b.Look(t.Context(), []*coupon.Campaign{recorded(docs[seals[0]]), recorded(docs[seals[1]]), recorded(docs[seals[2]])})
		return []coupon.HealthState{found[0].State, found[1].State, found[2].State}
	}
	require.Equal(t, []coupon.HealthState{coupon.Sound, coupon.Sound, coupon.Sound}, look())

	servers[1].Kill()
	require.Equal(t, []coupon.HealthState{coupon.Sound, coupon.Unreachable, coupon.Sound}, look())
	servers[1].Start()
	await(t, "the node is back, empty", func() bool { return look()[1] == coupon.Lost })
	require.Equal(t, []coupon.HealthState{coupon.Sound, coupon.Lost, coupon.Sound}, look())
	require.Equal(t, coupon.Broken, b.claimOne(t, docs[seals[1]], "kim").Verdict)
	require.Equal(t, coupon.Granted, b.claimOne(t, docs[seals[2]], "kim").Verdict)
}
