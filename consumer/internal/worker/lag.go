package worker

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seonchak/seonchak/pkg/kafkastream"
)

const lagEvery = 5 * time.Second

// progress says how far the group is with each partition of the topic.
type progress interface {
	Lag(ctx context.Context, group, topic string) ([]kafkastream.PartitionLag, error)
}

// Lag shows how many records the group has not finished. It asks the brokers, so that it is true while this worker is
// stuck and after it lost a partition, and every consumer shows all partitions: take the maximum, not the sum.
type Lag struct {
	progress     progress
	group, topic string
	gauge        *prometheus.GaugeVec
	logger       *slog.Logger
}

// NewLag registers the lag of a group with a topic.
func NewLag(progress progress, group, topic string, registry prometheus.Registerer, logger *slog.Logger) *Lag {
	l := &Lag{progress: progress, group: group, topic: topic, logger: logger, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "coupon_consumer_lag", Help: "Records the group has not finished, by partition; every consumer shows all.",
	}, []string{"partition"})}
	registry.MustRegister(l.gauge)
	return l
}

// Run refreshes the lag until ctx ends. What is not known is not shown.
func (l *Lag) Run(ctx context.Context) error {
	for {
		l.refresh(ctx)
		if err := wait(ctx, lagEvery); err != nil {
			return err
		}
	}
}

func (l *Lag) refresh(ctx context.Context) {
	partitions, err := l.progress.Lag(ctx, l.group, l.topic)
	if err != nil {
		l.gauge.Reset()
		l.logger.Debug("the lag is not known", "error", err)
		return
	}
	for _, p := range partitions {
		l.gauge.WithLabelValues(strconv.Itoa(p.Partition)).Set(float64(p.Lag()))
	}
}
