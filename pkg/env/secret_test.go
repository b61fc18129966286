package env

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecretSources(t *testing.T) {
	t.Parallel()
	type config struct {
		Key  Secret `env:"KEY"`
		Only Secret `env:"ONLY_FILE"`
	}
	held, empty := file(t, "from a file\n"), file(t, "\n")
	cases := map[string]struct {
		environ []string
		key     string
		only    string
		mistake string
	}{
		"none":              {},
		"value":             {environ: []string{"KEY=plain\n"}, key: "plain"},
		"file":              {environ: []string{"KEY_FILE=" + held, "ONLY_FILE=" + held}, key: "from a file", only: "from a file"},
		"file only":         {environ: []string{"ONLY=plain"}},
		"both":              {environ: []string{"KEY=plain", "KEY_FILE=" + held}, mistake: `KEY: is set, and KEY_FILE too: set one of them`},
		"no such file":      {environ: []string{"KEY_FILE=/no/such"}, mistake: `KEY_FILE="/no/such": cannot be read: no such file or directory`},
		"a file of nothing": {environ: []string{"ONLY_FILE=" + empty}, mistake: fmt.Sprintf(`ONLY_FILE=%.80q: is an empty file`, empty)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Load[config](c.environ)
			if c.mistake != "" {
				require.EqualError(t, err, c.mistake)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.key, got.Key.Reveal())
			require.Equal(t, c.only, got.Only.Reveal())
		})
	}
}

func TestAnUnreadableSecretIsOneMistake(t *testing.T) {
	t.Parallel()
	_, err := Load[settings]([]string{"NEEDED=x", "KEY_FILE=/no/such"})
	require.EqualError(t, err, `KEY_FILE="/no/such": cannot be read: no such file or directory`)
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	got, err := Load[settings]([]string{
		"NEEDED=x", "KEY=hunter2", "REDIS_URL=rediss://u:hunter2@h/0", "MYSQL_DSN=root:hunter2@tcp(h:1)/coupon?tls=true",
	})
	require.NoError(t, err)
	var logged bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&logged, nil))
	logger.LogAttrs(t.Context(), slog.LevelInfo, "start", Attrs(got)...)
	logger.Info("whole", "config", got, "key", got.Key, "dsn", got.DSN)
	encoded, err := json.Marshal(got.Key)
	require.NoError(t, err)
	all := logged.String() + string(encoded) + fmt.Sprintf("%v %+v %#v %s %q %x", got, got, got, got.Key, got.Key, got.Key) +
		fmt.Sprintf("%s %#v %v", got.DSN, got.DSN, got.URL)
	require.NotContains(t, logged.String(), "hunter2")
	require.NotContains(t, all, "hunter2")
	for _, want := range []string{
		`"KEY":"***"`, `"REDIS_URL":"rediss://u:***@h/0"`, `"MYSQL_DSN":"root:***@tcp(h:1)/coupon?tls=true"`,
		`"QUEUE":"8192"`, `"LIMIT":"10/s"`, `"KAFKA_SASL_PASSWORD_FILE":""`, `"KAFKA_BROKERS":"127.0.0.1:9092"`,
	} {
		require.Contains(t, logged.String(), want)
	}
}

func TestMasked(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"redis://127.0.0.1:6379/0":                 "redis://127.0.0.1:6379/0",
		"redis://:p@h:1/0":                         "redis://:***@h:1/0",
		"redis://u:p/a@s,s@h:1/0":                  "redis://u:***@h:1/0",
		"redis://u:p@h1,redis://u:p@h2":            "redis://u:***@h2",
		"redis+sentinel://h/m?sentinel_password=p": "redis+sentinel://h/m?***",
		"redis://h/0?password=a@b":                 "redis://h/0?***",
		"root@tcp(h:3306)/coupon":                  "root@tcp(h:3306)/coupon",
		"root:p@ss://w@tcp(h:3306)/coupon":         "root:***@tcp(h:3306)/coupon",
		"root:p://w@unix(/run/my.sock)/c":          "root:***@unix(/run/my.sock)/c",
		"10/s":                                     "10/s",
		"":                                         "",
	} {
		require.Equal(t, want, masked(in), in)
	}
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}
