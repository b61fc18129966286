package kafkastream

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestGroupReachesTheBarrierOnceItHasCommittedIt(t *testing.T) {
	t.Parallel()
	topic, name := testenv.Topic(t, 3), testenv.Group()
	publishAll(t, topic, claimsOf(20))
	g := NewGroup(admin(t), name, topic)
	ctx, cancel := within(60 * time.Second)
	defer cancel()

	ends, err := g.Barrier(ctx, "fence-7")
	require.NoError(t, err)
	require.Len(t, ends, 3)
	before, err := g.Committed(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0, 0}, before, "nothing is committed: the log's start counts")

	r := reader(t, realBroker(t), name, topic)
	records := fetch(t, r, 23)
	last := records[len(records)-1].Partition
	var rest []Record
	for _, record := range records {
		if record.Partition != last {
			rest = append(rest, record)
		}
	}
	require.NoError(t, r.Commit(ctx, rest))
	part, err := g.Committed(ctx)
	require.NoError(t, err)
	for p, end := range ends {
		if p == last {
			end = 0
		}
		require.Equal(t, end, part[p])
	}
	require.NoError(t, r.Commit(ctx, records))
	all, err := g.Committed(ctx)
	require.NoError(t, err)
	require.Equal(t, ends, all)
	require.NoError(t, g.Ping(ctx))
}

// The warden begins a fence, which nothing can take back, once Ping says that the log is there. A topic that refuses every
// record, here by its size, as it would one without the right to write, is a log that is away.
func TestGroupPingTellsALogThatCannotEndAFence(t *testing.T) {
	t.Parallel()
	a := admin(t)
	topic := testenv.Group()
	ctx, cancel := within(60 * time.Second)
	defer cancel()
	response, err := a.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: 1, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: "10"}},
	}}})
	require.NoError(t, err)
	require.NoError(t, response.Errors[topic])
	t.Cleanup(func() { drop(a, topic) })
	g := NewGroup(a, testenv.Group(), topic)

	_, err = g.Barrier(ctx, "fence")
	require.ErrorIs(t, err, kafka.MessageSizeTooLarge, "it does not pass, so nobody waits for it")
	require.Error(t, g.Ping(ctx), "no fence can end, so none may begin")
}

func TestABarrierTellsWhatABrokerSaidLast(t *testing.T) {
	t.Parallel()
	for code, waits := range map[kafka.Error]bool{
		kafka.NotEnoughReplicas: true, kafka.NotLeaderForPartition: true,
		kafka.TopicAuthorizationFailed: false, kafka.MessageSizeTooLarge: false,
	} {
		client := &kafka.Client{Addr: kafka.TCP("any:1"), Transport: &answering{
			deaf: nobody, answers: map[int32]produce.ResponsePartition{0: {ErrorCode: int16(code)}},
		}}
		ctx, cancel := within(300 * time.Millisecond)
		_, err := insist(ctx, client, "any", 0, "fence-7")
		require.ErrorIs(t, err, code)
		require.Equal(t, waits, ctx.Err() != nil, code.Title())
		cancel()
	}
}

func TestACommitBeyondTheLogFinishesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lag  PartitionLag
		want int64
	}{
		{PartitionLag{Start: 3, End: 9, Committed: NotCommitted}, 3},
		{PartitionLag{Start: 3, End: 9, Committed: 2}, 3},
		{PartitionLag{Start: 3, End: 9, Committed: 9}, 9},
		{PartitionLag{Start: 0, End: 9, Committed: 10}, 0},
	} {
		require.Equal(t, c.want, c.lag.finished())
		require.True(t, c.lag.Reached(c.want))
		require.False(t, c.lag.Reached(c.want+1))
	}
}

func TestGroupOfABrokerThatIsAway(t *testing.T) {
	t.Parallel()
	a := NewAdmin(Config{Brokers: []string{refusedAddress(t)}})
	defer a.Close()
	ctx, cancel := within(10 * time.Second)
	defer cancel()
	g := NewGroup(a, "any", "any")
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(g.Ping(ctx)))
	_, err := g.Committed(ctx)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
}
