package worker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/kafkastream"
)

type fakeProgress func() ([]kafkastream.PartitionLag, error)

func (f fakeProgress) Lag(context.Context, string, string) ([]kafkastream.PartitionLag, error) {
	return f()
}

func TestLag(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	var silence error
	lag := NewLag(fakeProgress(func() ([]kafkastream.PartitionLag, error) {
		return []kafkastream.PartitionLag{
			{Partition: 0, End: 7, Committed: 7},
			{Partition: 1, End: 7, Committed: 2},
			{Partition: 2, End: 7, Committed: kafkastream.NotCommitted, Start: 3},
		}, silence
	}), "group", "topic", registry, slog.New(slog.DiscardHandler))

	lag.refresh(t.Context())
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP coupon_consumer_lag Records the group has not finished, by partition; every consumer shows all.
		# TYPE coupon_consumer_lag gauge
		coupon_consumer_lag{partition="0"} 0
		coupon_consumer_lag{partition="1"} 5
		coupon_consumer_lag{partition="2"} 4
	`)))

	silence = errors.New("no coordinator")
	lag.refresh(t.Context())
	require.Zero(t, testutil.CollectAndCount(registry), "an old number would be a lie")
}
