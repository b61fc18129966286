package trial

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestThePipelineIsRight(t *testing.T) {
	t.Parallel()
	options := Options{Stores: testStores(t), Bin: t.TempDir(), Longest: time.Minute}
	for _, program := range []string{"api-server", "consumer", "batch"} {
		command := exec.Command("go", "build", "-o", filepath.Join(options.Bin, program), ".")
		command.Dir = filepath.Join("..", "..", "..", program)
		output, err := command.CombinedOutput()
		require.NoError(t, err, "build %s: %s", program, output)
	}
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
}
