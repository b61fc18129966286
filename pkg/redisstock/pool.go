package redisstock

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// pooled is a client with a pool of connections.
type pooled interface{ PoolStats() *redis.PoolStats }

// poolCollector shows a client's pool of connections as it is at each scrape.
type poolCollector struct{ client pooled }

// NewPoolCollector returns the metrics of a client's connections: how many there are, and how often and how long a command
// waited for one. Their names begin with redis_pool_.
func NewPoolCollector(client pooled) prometheus.Collector { return poolCollector{client} }

var (
	poolTotal    = prometheus.NewDesc("redis_pool_connections", "Connections to Redis, idle ones included.", nil, nil)
	poolIdle     = prometheus.NewDesc("redis_pool_idle_connections", "Connections to Redis that nobody uses.", nil, nil)
	poolMisses   = prometheus.NewDesc("redis_pool_misses_total", "Commands that found no idle connection.", nil, nil)
	poolWaits    = prometheus.NewDesc("redis_pool_waits_total", "Commands that waited for a connection.", nil, nil)
	poolWaited   = prometheus.NewDesc("redis_pool_wait_seconds_total", "Time spent waiting for connections.", nil, nil)
	poolTimeouts = prometheus.NewDesc("redis_pool_timeouts_total", "Commands that waited too long for a connection.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c poolCollector) Describe(descriptions chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, descriptions)
}

// Collect implements prometheus.Collector.
func (c poolCollector) Collect(metrics chan<- prometheus.Metric) {
	stats := c.client.PoolStats()
	show := func(d *prometheus.Desc, kind prometheus.ValueType, value float64) {
		metrics <- prometheus.MustNewConstMetric(d, kind, value)
	}
	show(poolTotal, prometheus.GaugeValue, float64(stats.TotalConns))
	show(poolIdle, prometheus.GaugeValue, float64(stats.IdleConns))
	show(poolMisses, prometheus.CounterValue, float64(stats.Misses))
	show(poolWaits, prometheus.CounterValue, float64(stats.WaitCount))
	show(poolWaited, prometheus.CounterValue, time.Duration(stats.WaitDurationNs).Seconds())
	show(poolTimeouts, prometheus.CounterValue, float64(stats.Timeouts))
}
