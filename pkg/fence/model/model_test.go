package model

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func requireSound(t *testing.T, r Result) {
	t.Helper()
	require.Empty(t, r.Violation, "%d steps:\n  %s", len(r.Trace), strings.Join(r.Trace, "\n  "))
}

// boundOf is how many states of each configuration the tests visit; without the race detector, together more than a million.
func boundOf() int {
	if raceDetector {
		return 20_000
	}
	return 250_000
}

// With SEONCHAK_MODEL=full every configuration is searched to its end.
func TestNoPromiseBreaks(t *testing.T) {
	t.Parallel()
	full := os.Getenv("SEONCHAK_MODEL") == "full"
	for _, c := range Configs() {
		t.Run(c.Name, func(t *testing.T) {
			c.MaxStates = boundOf()
			if full {
				c.MaxStates = 0
			}
			r := Search(c)
			requireSound(t, r)
			require.True(t, r.Exhausted || !full)
			require.Positive(t, r.Rest, "the search came to rest nowhere, so nothing was checked there")
			t.Logf("%s: %d states, %d transitions, depth %d, %d at rest (%d with sound claim state), exhausted %t, %s, %d MB",
				c.About, r.States, r.Transitions, r.Depth, r.Rest, r.SoundRest, r.Exhausted, r.Took.Round(time.Millisecond), megabytes())
		})
	}
}

// megabytes returns what the process has from the system.
func megabytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys >> 20
}
