package kafkastream

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestEnsureTopics(t *testing.T) {
	t.Parallel()
	a := admin(t)
	name := testenv.Group()
	ctx, cancel := within(30 * time.Second)
	defer cancel()
	spec := TopicSpec{Name: name, Partitions: Partitions, Replication: 1}
	created, err := a.EnsureTopics(ctx, []TopicSpec{spec})
	require.NoError(t, err)
	require.Equal(t, []string{name}, created)
	defer drop(a, name)

	other := TopicSpec{Name: testenv.Group(), Partitions: 1, Replication: 1}
	tooMany := TopicSpec{Name: testenv.Group(), Partitions: 1, Replication: 9}
	created, err = a.EnsureTopics(ctx, []TopicSpec{spec, tooMany, other})
	require.ErrorContains(t, err, tooMany.Name)
	require.ErrorIs(t, err, ErrTooFewBrokers)
	require.Equal(t, []string{other.Name}, created, "what exists is not made again, what failed stops no other")
	defer drop(a, other.Name)

	settings, err := a.settings(ctx, name)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(2_592_000_000), settings["retention.ms"])
	require.Equal(t, "false", settings["unclean.leader.election.enable"])
	count, err := partitionCount(ctx, a.client, name)
	require.NoError(t, err)
	require.Equal(t, Partitions, count)

	weak, err := a.Weaknesses(ctx, name)
	require.NoError(t, err)
	require.Len(t, weak, 2, "on one broker: %v", weak)
	require.Contains(t, weak[0], "replication factor 1")
	require.Contains(t, weak[1], "min.insync.replicas 1")
}

func TestTopicSpecOfThreeReplicas(t *testing.T) {
	t.Parallel()
	want := kafka.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: "2"}
	require.Contains(t, TopicSpec{Replication: 3}.config(), want)
	require.NotContains(t, TopicSpec{Replication: 1}.config(), want)
}

func TestWeaknesses(t *testing.T) {
	t.Parallel()
	safe := map[string]string{
		"min.insync.replicas": "2", "unclean.leader.election.enable": "false",
		"retention.ms": "2592000000", "retention.bytes": "-1", "cleanup.policy": "delete",
	}
	cases := []struct {
		setting, value string
		replicas       int
		says           string
	}{
		{"", "", 3, ""},
		{"retention.ms", "-1", 3, ""},
		{"", "", 2, "replication factor 2"},
		{"min.insync.replicas", "1", 3, "min.insync.replicas 1"},
		{"unclean.leader.election.enable", "true", 3, "unclean"},
		{"retention.ms", "604800000", 3, "168h0m0s"},
		{"retention.bytes", "1000000", 3, "1000000 bytes"},
		{"cleanup.policy", "compact,delete", 3, "compact,delete"},
	}
	for _, c := range cases {
		settings := map[string]string{}
		for name, value := range safe {
			settings[name] = value
		}
		if c.setting != "" {
			settings[c.setting] = c.value
		}
		found := strings.Join(weaknesses("claims", c.replicas, settings), "\n")
		if c.says == "" {
			require.Empty(t, found)
			continue
		}
		require.Contains(t, found, c.says)
		require.NotContains(t, found, "\n", "one sentence for one weakness")
	}
}

func TestUnknownTopic(t *testing.T) {
	t.Parallel()
	ctx, cancel := within(10 * time.Second)
	defer cancel()
	_, err := admin(t).Weaknesses(ctx, testenv.Group())
	require.ErrorIs(t, err, kafka.UnknownTopicOrPartition)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
}

func TestPing(t *testing.T) {
	t.Parallel()
	ctx, cancel := within(10 * time.Second)
	defer cancel()
	require.NoError(t, admin(t).Ping(ctx))
	dead := NewAdmin(Config{Brokers: []string{refusedAddress(t)}})
	defer dead.Close()
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(dead.Ping(ctx)))
}

func TestLagAndSeekToEnd(t *testing.T) {
	t.Parallel()
	topic, group := testenv.Topic(t, 3), testenv.Group()
	publishAll(t, topic, claimsOf(30))
	a := admin(t)
	ctx, cancel := within(60 * time.Second)
	defer cancel()
	lags, err := a.Lag(ctx, group, topic)
	require.NoError(t, err)
	require.Len(t, lags, 3)
	require.EqualValues(t, 30, TotalLag(lags))
	for i, lag := range lags {
		require.Equal(t, i, lag.Partition)
		require.EqualValues(t, NotCommitted, lag.Committed)
		require.True(t, lag.Reached(lag.Start))
		require.False(t, lag.Reached(lag.End))
	}

	require.NoError(t, a.SeekToEnd(ctx, group, topic))
	lags, err = a.Lag(ctx, group, topic)
	require.NoError(t, err)
	require.Zero(t, TotalLag(lags))

	r := reader(t, realBroker(t), group, topic)
	publishAll(t, topic, []coupon.Claim{claimOf(777)})
	require.Equal(t, claimOf(777), decode(t, fetch(t, r, 1)[0]))
	require.Error(t, a.SeekToEnd(ctx, group, topic), "a group with a member must not be moved")
}

func TestBarrierLiesBehindEveryAck(t *testing.T) {
	t.Parallel()
	topic, group := testenv.Topic(t, 3), testenv.Group()
	publishAll(t, topic, claimsOf(50))
	a := admin(t)
	ctx, cancel := within(60 * time.Second)
	defer cancel()
	ends, err := a.Barrier(ctx, topic, "fence-7")
	require.NoError(t, err)
	require.Len(t, ends, 3)

	r := reader(t, realBroker(t), group, topic)
	barriers := 0
	records := fetch(t, r, 53)
	for _, record := range records {
		if event.IsBarrier(record.Headers) {
			barriers++
			require.Equal(t, ends[record.Partition], record.Offset+1)
			require.Empty(t, record.Value)
			continue
		}
		require.Less(t, record.Offset, ends[record.Partition]-1)
	}
	require.Equal(t, 3, barriers)
	require.NoError(t, r.Commit(ctx, records))
	lags, err := a.Lag(ctx, group, topic)
	require.NoError(t, err)
	for _, lag := range lags {
		require.True(t, lag.Reached(ends[lag.Partition]))
	}
}

func TestBarrierGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	through := newProxy(t)
	through.stall()
	ctx, cancel := within(500 * time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := NewAdmin(through.config()).Barrier(ctx, "any", "fence-7")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.Less(t, time.Since(begin), 2*time.Second)
}

func TestMovedTellsAChangeOfBrokersFromATrouble(t *testing.T) {
	t.Parallel()
	for _, code := range []kafka.Error{
		kafka.NotCoordinatorForGroup, kafka.GroupCoordinatorNotAvailable, kafka.GroupLoadInProgress,
		kafka.NotLeaderForPartition, kafka.LeaderNotAvailable,
	} {
		require.True(t, moved(coupon.Unavailable("offsets", code)), code.Title())
	}
	require.False(t, moved(nil))
	require.False(t, moved(context.DeadlineExceeded))
	require.False(t, moved(coupon.Unavailable("offsets", kafka.GroupAuthorizationFailed)))
}
