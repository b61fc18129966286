package redisstock

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

type pool redis.PoolStats

func (p pool) PoolStats() *redis.PoolStats { return (*redis.PoolStats)(&p) }

func TestThePoolIsShown(t *testing.T) {
	t.Parallel()
	stats := pool{TotalConns: 16, IdleConns: 9, Misses: 3, WaitCount: 2, WaitDurationNs: 1_500_000_000, Timeouts: 1}
	require.NoError(t, testutil.CollectAndCompare(NewPoolCollector(stats), strings.NewReader(`
# HELP redis_pool_connections Connections to Redis, idle ones included.
# TYPE redis_pool_connections gauge
redis_pool_connections 16
# HELP redis_pool_idle_connections Connections to Redis that nobody uses.
# TYPE redis_pool_idle_connections gauge
redis_pool_idle_connections 9
# HELP redis_pool_misses_total Commands that found no idle connection.
# TYPE redis_pool_misses_total counter
redis_pool_misses_total 3
# HELP redis_pool_timeouts_total Commands that waited too long for a connection.
# TYPE redis_pool_timeouts_total counter
redis_pool_timeouts_total 1
# HELP redis_pool_wait_seconds_total Time spent waiting for connections.
# TYPE redis_pool_wait_seconds_total counter
redis_pool_wait_seconds_total 1.5
# HELP redis_pool_waits_total Commands that waited for a connection.
# TYPE redis_pool_waits_total counter
redis_pool_waits_total 2
`)))
}
