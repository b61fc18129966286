package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// built is where the programs of this run are. They are built when a test first asks for them, once.
var built struct {
	dir         string
	races, fast func() error
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "seonchak-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if os.Getenv("GORACE") == "" {
		// A program built with the race detector sleeps for a second before it exits; dozens of them are started here.
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	built.dir = dir
	built.races = sync.OnceValue(func() error { return build(filepath.Join(dir, "race"), "-race") })
	built.fast = sync.OnceValue(func() error { return build(filepath.Join(dir, "fast")) })
	return m.Run()
}

// programs returns the folder with the programs, built with the race detector.
func programs(tb testing.TB) string {
	tb.Helper()
	require.NoError(tb, built.races())
	return filepath.Join(built.dir, "race")
}

// fastPrograms returns the folder with the programs and the demo as they are shipped.
func fastPrograms(tb testing.TB) string {
	tb.Helper()
	require.NoError(tb, built.fast())
	return filepath.Join(built.dir, "fast")
}

func build(to string, flags ...string) error {
	for program, source := range map[string]string{
		"api-server": "../api-server", "consumer": "../consumer", "batch": "../batch", "demo": "../tools/demo",
	} {
		args := append([]string{"-C", source, "build", "-o", filepath.Join(to, program)}, flags...)
		if output, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", program, err, output)
		}
	}
	return nil
}
