package kafkastream

import (
	"testing"
	"time"

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
	require.NoError(t, g.Ping(ctx))

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
