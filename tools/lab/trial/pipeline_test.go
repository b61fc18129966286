package trial

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestThePipelineIsRight(t *testing.T) {
	t.Parallel()
	options := Options{Stores: testStores(t), Bin: build(t), Longest: time.Minute}
	for _, which := range []Case{
		{Strategy: Pipeline, Workload: Drop, Servers: 2, Crash: true, Connections: 16, Applies: 400, Limit: 50},
		{Strategy: Pipeline, Workload: DoubleClick, Servers: 2, Connections: 16, Applies: 400, Limit: 50},
	} {
		t.Run(which.Workload, func(t *testing.T) {
			t.Parallel()
			result, err := Run(t.Context(), options, which)
			require.NoError(t, err)
			require.True(t, result.Verdict.Right(), "%+v", result.Verdict)
			require.Equal(t, which.Applies, result.Answered)
			require.Zero(t, result.Verdict.Unanswered)
			require.Equal(t, which.Crash, result.Crashed)
		})
	}
	t.Run("crash", func(t *testing.T) { t.Parallel(); aCrashTakesBoth(t, options) })
}

// aCrashTakesBoth, the api-server and the consumer, and rest waits for the claims that it leaves pending.
func aCrashTakesBoth(t *testing.T, options Options) {
	t.Helper()
	p, err := startProduct(t.Context(), options.Stores, options.Bin, t.TempDir(), Case{Strategy: Pipeline, Workload: Drop, Servers: 1, Limit: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.close()) })
	server, consumer := p.Server.PID(), p.consumer.PID()
	require.NoError(t, p.crash(t.Context()))
	require.NotEqual(t, server, p.Server.PID())
	require.NotEqual(t, consumer, p.consumer.PID())

	const waiting = 1_000
	far := float64(time.Now().Add(time.Hour).UnixMilli())
	for i := range waiting {
		require.NoError(t, p.redis.ZAdd(t.Context(), "coupon:{"+p.id+"}:1:pending", redis.Z{Score: far, Member: i}).Err())
	}
	left, err := p.underWay(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, left, int64(waiting))
}

// build returns a folder with the programs of the product.
func build(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	for _, program := range []string{"api-server", "consumer", "batch"} {
		command := exec.Command("go", "build", "-o", filepath.Join(bin, program), ".")
		command.Dir = filepath.Join("..", "..", "..", program)
		output, err := command.CombinedOutput()
		require.NoError(t, err, "build %s: %s", program, output)
	}
	return bin
}
