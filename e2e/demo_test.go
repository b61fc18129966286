package e2e

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/procs"
)

// maxMemory is what an api-server may hold, in MB.
const maxMemory = 150

var (
	figure = regexp.MustCompile(`(?m)^(over|under|twice|lost|failed|wrong|phantom|unordered|gaps|miscounted) ([0-9,]+)$`)
	peak   = regexp.MustCompile(`(?m)^api_server_peak_rss_mb (\d+)$`)
)

// TestDemo runs the demo as `make demo` does, smaller: all is well. With a fault it says so.
func TestDemo(t *testing.T) {
	output, code := demo(t)
	require.Zero(t, code, output)
	require.Regexp(t, `(?m)^issued 100$`, output)
	faults := figure.FindAllStringSubmatch(output, -1)
	require.Len(t, faults, 10, output)
	for _, f := range faults {
		require.Equal(t, "0", f[2], output)
	}
	memory := peak.FindStringSubmatch(output)
	require.NotNil(t, memory, output)
	megabytes, err := strconv.Atoi(memory[1])
	require.NoError(t, err)
	require.Less(t, megabytes, maxMemory)

	output, code = demo(t, "--fault", "delete-row")
	require.Equal(t, 1, code, output)
	require.Regexp(t, `(?m)^lost 1$`, output)
	require.Regexp(t, `(?m)^issued 99$`, output)
	require.Contains(t, output, "there is no such row")
}

func demo(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	stores := sharedStores(t)
	bin := fastPrograms(t)
	args = append(strings.Fields("--users 2000 --applies 5000 --limit 100 --bin "+bin+" --logs "+t.TempDir()), args...)
	output, code, err := procs.Run(t.Context(), procs.Spec{
		Name: "demo", Binary: filepath.Join(bin, "demo"), Args: args,
		Env: []string{"REDIS_URL=" + stores.Redis, "KAFKA_BROKERS=" + stores.Kafka, "MYSQL_DSN=" + stores.MySQL, "DEMO_STAY="},
	})
	require.NoError(t, err)
	return output, code
}
