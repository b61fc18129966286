package setup

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/procs"
)

// says makes a program that prints a line and ends with an exit code.
func says(t *testing.T, line, code string) (bin string) {
	t.Helper()
	bin = t.TempDir()
	script := "#!/bin/sh\necho '" + line + "'\nexit " + code + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "api-server"), []byte(script), 0o700))
	return bin
}

func TestSetupNamesEveryVersion(t *testing.T) {
	t.Setenv("APPLY_BATCH", "7")
	stores := procs.Stores{Redis: testenv.Redis(t), Kafka: strings.Join(testenv.Kafka(t), ","), MySQL: testenv.EmptyDatabase(t)}
	s, err := Of(t.Context(), stores, says(t, "api-server v1.2-dirty go1.99", "0"), map[string]string{"auth": "dev"})
	require.NoError(t, err)
	require.Equal(t, "v1.2-dirty", s.Versions["commit"])
	require.Equal(t, "1.99", s.Versions["go"])
	number := regexp.MustCompile(`^\d+\.\d+`)
	for _, name := range []string{"redis", "kafka", "database"} {
		require.Regexp(t, number, s.Versions[name], name)
	}
	require.Equal(t, map[string]string{"auth": "dev", "APPLY_BATCH": "7"}, s.Settings)
	require.Equal(t, runtime.GOMAXPROCS(0), s.Machine.Cores)
	require.Greater(t, s.Machine.Memory, int64(1<<28))
	release, err := os.ReadFile("/etc/os-release")
	require.NoError(t, err)
	require.Contains(t, string(release), `PRETTY_NAME="`+s.Machine.OS+`"`)
	for _, part := range []string{"APPLY_BATCH 7, auth dev", "commit v1.2-dirty", s.Machine.Model, s.Machine.OS, "cores"} {
		require.Contains(t, s.String(), part)
	}
	require.NotContains(t, s.String(), "\n")

	_, err = Of(t.Context(), stores, says(t, "go away", "0"), nil)
	require.ErrorContains(t, err, "go away")
	_, err = Of(t.Context(), procs.Stores{Redis: "redis://127.0.0.1:1", Kafka: stores.Kafka, MySQL: stores.MySQL}, says(t, "a b c", "0"), nil)
	require.ErrorContains(t, err, "version of redis")
}
