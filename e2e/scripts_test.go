package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBenchCompareSeesASlowerTree compares two commits of a repository of its own, and then the same one with what is not
// committed.
func TestBenchCompareSeesASlowerTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	do := func(name string, args ...string) string {
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "REDIS_URL=none", "KAFKA_BROKERS=none", "MYSQL_DSN=none", "GOWORK=off",
			"PACKAGES=module/work", "BENCHTIME=1x", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@t", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@t")
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s %q: %s", name, args, output)
		return string(output)
	}
	write := func(file, content string) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o700))
	}
	takes := func(nanoseconds int) { // that it says so itself: how busy this machine is must not matter
		write("module/work/work_test.go", fmt.Sprintf(`package work
import "testing"
func BenchmarkWork(b *testing.B) { for b.Loop() {}; b.ReportMetric(%d, "ns/op") }
`, nanoseconds))
	}
	tools, err := filepath.Abs("../tools")
	require.NoError(t, err)
	script, err := os.ReadFile("../scripts/bench-compare.sh")
	require.NoError(t, err)

	do("git", "init", "--quiet")
	write(".gitignore", "tools\n")
	require.NoError(t, os.Symlink(tools, filepath.Join(dir, "tools")))
	write("scripts/bench-compare.sh", string(script))
	write("module/go.mod", "module example.org/module\n\ngo 1.26\n")
	takes(1000)
	do("git", "add", "--all")
	do("git", "commit", "--quiet", "-m", "first")
	takes(10_000)
	do("git", "commit", "--quiet", "-a", "-m", "slower")
	require.Regexp(t, `Work.* \+900\.00% \(p=0\.002 n=6\)`, do("scripts/bench-compare.sh"))
	takes(1000)
	require.Regexp(t, `Work.* -90\.00% \(p=0\.002 n=6\)`, do("scripts/bench-compare.sh"))
	require.Equal(t, 1, strings.Count(do("git", "worktree", "list"), "\n"), "nothing is left behind")
}
