package service

import (
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/env"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	var asJSON, asText buffer
	NewLogger(&asJSON, env.Process{LogLevel: "warn", LogFormat: env.JSON}, "clerk", "v1").Warn("late", "by", "1s")
	require.Contains(t, asJSON.String(), `"level":"WARN","msg":"late","service":"clerk","version":"v1","by":"1s"}`)
	text := NewLogger(&asText, env.Process{LogLevel: "debug", LogFormat: env.Text}, "clerk", "v1")
	text.Debug("late")
	require.Contains(t, asText.String(), "level=DEBUG msg=late service=clerk version=v1")
	require.False(t, NewLogger(&asText, env.Process{LogLevel: "warn"}, "", "").Enabled(t.Context(), slog.LevelInfo))
}

func TestWarnWeak(t *testing.T) {
	t.Parallel()
	weaknesses := []string{"redis evicts keys", "kafka keeps one copy"}
	for _, c := range []struct {
		name                  string
		production, allowWeak bool
		weaknesses            []string
		refused               bool
		warnings              int
	}{
		{"development", false, false, weaknesses, false, 2},
		{"production", true, false, weaknesses, true, 0},
		{"production, allowed", true, true, weaknesses, false, 2},
		{"production, nothing weak", true, false, nil, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log buffer
			logger := NewLogger(&log, env.Process{LogLevel: "info"}, "clerk", "v1")
			err := WarnWeak(logger, c.production, c.allowWeak, c.weaknesses)
			require.Equal(t, c.warnings, strings.Count(log.String(), `"WARN"`))
			if !c.refused {
				require.NoError(t, err)
				return
			}
			var mistakes env.Mistakes
			require.ErrorAs(t, err, &mistakes)
			require.Len(t, strings.Split(err.Error(), "\n"), len(weaknesses))
			require.ErrorContains(t, err, "kafka keeps one copy (refused with APP_ENV=production unless ALLOW_WEAK_STORES=1)")
		})
	}
}

func TestVersionOf(t *testing.T) {
	t.Parallel()
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	dirty := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	require.Equal(t, "v1.2.3", versionOf(&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}))
	require.Equal(t, "0123456789ab", versionOf(&debug.BuildInfo{Settings: []debug.BuildSetting{revision}}))
	require.Equal(t, "0123456789ab-dirty", versionOf(&debug.BuildInfo{Settings: []debug.BuildSetting{revision, dirty}}))
	require.Equal(t, "devel", versionOf(&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}))
}
