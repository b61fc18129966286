package e2e

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/procs"
)

// program runs a program without any setting of the test's own environment.
func program(t *testing.T, name string, env []string, args ...string) (output string, code int) {
	t.Helper()
	clean := make([]string, 0, len(env)+20)
	for _, variable := range append(allVariables(t, "api-server"), append(allVariables(t, "consumer"), allVariables(t, "batch")...)...) {
		clean = append(clean, variable+"=") // set to nothing counts as not set
	}
	output, code, err := procs.Run(t.Context(), procs.Spec{
		Name: name, Binary: filepath.Join(programs(t), name), Args: args, Env: append(clean, env...),
	})
	require.NoError(t, err)
	return output, code
}

var (
	tag   = regexp.MustCompile("`env:\"([A-Z_]+)\"")
	group = regexp.MustCompile(`(?m)^\tenv\.([A-Z]\w+)$`)
)

// allVariables reads the sources for the variables a program knows.
func allVariables(t *testing.T, name string) []string {
	t.Helper()
	config, err := os.ReadFile("../" + name + "/config.go")
	require.NoError(t, err)
	groups, err := os.ReadFile("../pkg/env/groups.go")
	require.NoError(t, err)
	text := string(config)
	for _, g := range group.FindAllStringSubmatch(text, -1) {
		_, after, found := strings.Cut(string(groups), "type "+g[1]+" struct {")
		require.True(t, found, g[1])
		body, _, _ := strings.Cut(after, "\n}")
		text += body
	}
	var variables []string
	for _, match := range tag.FindAllStringSubmatch(text, -1) {
		variables = append(variables, match[1])
	}
	require.NotEmpty(t, variables)
	return variables
}

// contracted are the variables of the contract that these programs read.
var contracted = map[string][]string{
	"api-server": {
		"REDIS_URL", "KAFKA_BROKERS", "KAFKA_TLS", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE",
		"MYSQL_DSN", "HTTP_ADDR", "ADMIN_ADDR", "PPROF", "AUTH_MODE", "JWT_HMAC_SECRET", "JWT_HMAC_SECRET_FILE", "JWT_ISSUER",
		"JWT_AUDIENCE", "APPLY_QUEUE", "APPLY_BATCH", "PUBLISH_IN_FLIGHT", "ALLOW_WEAK_STORES", "LOG_LEVEL", "LOG_FORMAT",
		"APP_ENV", "OTEL_EXPORTER_OTLP_ENDPOINT",
	},
	"consumer": {
		"REDIS_URL", "KAFKA_BROKERS", "KAFKA_TLS", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE", "MYSQL_DSN",
		"ADMIN_ADDR", "PPROF", "KAFKA_GROUP", "ISSUE_BATCH", "ISSUE_RATE", "ALLOW_WEAK_STORES", "LOG_LEVEL", "LOG_FORMAT",
		"APP_ENV", "OTEL_EXPORTER_OTLP_ENDPOINT",
	},
	"batch": {
		"REDIS_URL", "KAFKA_BROKERS", "KAFKA_TLS", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE",
		"MYSQL_DSN", "KAFKA_GROUP", "KAFKA_REPLICATION_FACTOR", "ALLOW_WEAK_STORES", "LOG_LEVEL", "LOG_FORMAT", "APP_ENV",
		"OTEL_EXPORTER_OTLP_ENDPOINT",
	},
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for name, variables := range contracted {
		output, code := program(t, name, nil, "--help")
		require.Zero(t, code)
		for _, variable := range append(variables, allVariables(t, name)...) {
			require.Regexp(t, `(?m)^\s*`+variable+`\s+\S+\s+\S`, output, "name, default, meaning")
		}
		output, code = program(t, name, nil, "--version")
		require.Zero(t, code)
		require.Regexp(t, `^`+name+` \S+ go1\.\S+\n$`, output)
		output, code = program(t, name, nil, "--no-such-argument")
		require.Equal(t, 2, code, output)
	}
}

// TestBadConfiguration makes many mistakes at once. Every one is named, on a line of its own, and nothing starts.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	everywhere := []string{
		"APP_ENV=staging", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "ALLOW_WEAK_STORES=perhaps", "OTEL_EXPORTER_OTLP_ENDPOINT=nowhere",
		"REDIS_URL=http://127.0.0.1", "KAFKA_BROKERS=no-port", "KAFKA_TLS=maybe", "KAFKA_SASL_USERNAME=lonely", "MYSQL_DSN=:::",
	}
	own := map[string][]string{
		"api-server": {
			"HTTP_ADDR=8080", "ADMIN_ADDR=here:there", "PPROF=2", "AUTH_MODE=maybe", "JWT_HMAC_SECRET=short",
			"APPLY_QUEUE=0", "APPLY_BATCH=257", "PUBLISH_IN_FLIGHT=many",
		},
		"consumer": {"ADMIN_ADDR=8082", "PPROF=x", "AUTH_MODE=maybe", "ISSUE_BATCH=0", "ISSUE_RATE=-1"},
		"batch":    {"KAFKA_REPLICATION_FACTOR=0"},
	}
	for name, mistakes := range own {
		mistakes = append(mistakes, everywhere...)
		var args []string
		if name == "batch" {
			args = []string{"sweep"}
		}
		output, code := program(t, name, mistakes, args...)
		require.Equal(t, 2, code, output)
		for _, mistake := range mistakes {
			variable, _, _ := strings.Cut(mistake, "=")
			require.Regexp(t, `(?m)^`+name+`: `+variable+`\b.*$`, output, name)
		}
		require.Len(t, strings.Split(strings.TrimSpace(output), "\n"), len(mistakes), "one line each:\n%s", output)
	}
}

// TestDevIsRefusedInProduction: nobody is authenticated with AUTH_MODE=dev.
func TestDevIsRefusedInProduction(t *testing.T) {
	t.Parallel()
	output, code := program(t, "api-server", []string{"APP_ENV=production", "AUTH_MODE=dev"})
	require.Equal(t, 2, code, output)
	require.Contains(t, output, "AUTH_MODE")
	output, code = program(t, "api-server", []string{"AUTH_MODE=dev", "ADMIN_ADDR=0.0.0.0:0", "HTTP_ADDR=127.0.0.1:0"})
	require.Equal(t, 2, code, output)
	require.Contains(t, output, "ADMIN_ADDR")
}

// TestHealthcheckOfNothing asks programs that do not run.
func TestHealthcheckOfNothing(t *testing.T) {
	t.Parallel()
	silent, err := procs.FreeAddress()
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(silent)
	require.NoError(t, err)
	for _, name := range []string{"api-server", "consumer"} {
		output, code := program(t, name, []string{"ADMIN_ADDR=:" + port}, "healthcheck")
		require.Equal(t, 1, code, output)
	}
	output, code := program(t, "batch", []string{"MYSQL_DSN=root@tcp(" + silent + ")/coupon"}, "healthcheck")
	require.Equal(t, 1, code, output)
	output, code = program(t, "batch", []string{"MYSQL_DSN=:::"}, "healthcheck")
	require.Equal(t, 2, code, output)
}
