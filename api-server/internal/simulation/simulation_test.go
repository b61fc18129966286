package simulation

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	seedsFlag = flag.Int("simulation.seeds", 0, "how many seeds to run; 0 = the number of a normal run")
	firstFlag = flag.Uint64("simulation.first", 1, "the first of them")
	seedFlag  = flag.Uint64("simulation.seed", 0, "run this seed alone, with the logs of the programs")
)

const (
	normalSeeds  = 2000
	raceSeeds    = 200
	faultsADrop  = 25
	restPatience = 10 * time.Minute // of simulated time
)

// TestMain has one thread run everything: the order of what happens at one instant is then no accident, and one thread is
// also faster than two that wait for each other. A drop leaves much garbage and keeps little.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}

// TestSimulation runs one drop a seed, with faults, and looks for every untruth. A failure names its seed:
// go test ./internal/simulation -run TestSimulation -simulation.seed=N shows it again.
func TestSimulation(t *testing.T) {
	if *seedFlag > 0 {
		o, logs := explain(t, *seedFlag, none)
		t.Logf("%s\n%+v", logs, o)
		require.Empty(t, o.found)
		return
	}
	var total outcome
	var recoveries []time.Duration
	seeds := chosen(normalSeeds, raceSeeds)
	for _, seed := range seeds {
		o := simulate(t, seed, none, nil)
		if len(o.found) > 0 {
			t.Errorf("seed %d:\n%s", seed, strings.Join(o.found, "\n"))
		}
		total.add(o)
		recoveries = append(recoveries, o.recovery)
	}
	slices.Sort(recoveries)
	t.Logf("%d seeds, %d faults, %d answers, %d binding, %d from memory, %d rows, %d epochs, %d in mode sql",
		len(seeds), total.faults, total.answers, total.binding, total.fromMemory, total.rows, total.epochs, total.inSQL)
	require.Positive(t, total.fromMemory, "nobody was refused from memory")
	t.Logf("at rest after the last fault: p50 %v, p99 %v, latest %v of simulated time",
		recoveries[len(seeds)/2], recoveries[len(seeds)*99/100], recoveries[len(seeds)-1])
}

// chosen are the seeds to run: as many as the flag says, else so many, or fewer of them with the race detector.
func chosen(normally, slowly int) []uint64 {
	count := normally
	if raceDetector {
		count = slowly
	}
	if *seedsFlag > 0 {
		count = *seedsFlag
	}
	seeds := make([]uint64, count)
	for i := range seeds {
		seeds[i] = *firstFlag + uint64(i)
	}
	return seeds
}

// explain runs a seed and returns what its programs logged, too.
func explain(t *testing.T, seed uint64, planted bug) (outcome, string) {
	t.Helper()
	var logs syncBuilder
	o := simulate(t, seed, planted, &logs)
	return o, logs.text.String()
}

// TestASeedIsOneSchedule runs seeds twice: every call, and what users are told, must be the same at the same instants.
func TestASeedIsOneSchedule(t *testing.T) {
	for _, seed := range chosen(50, 10) {
		once, again := simulate(t, seed, none, nil), simulate(t, seed, none, nil)
		require.Equal(t, once, again, "seed %d", seed)
	}
}

// syncBuilder lets all programs write to one log.
type syncBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *syncBuilder) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}
