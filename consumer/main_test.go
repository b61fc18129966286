package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/service"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// start runs the program with an environment of its own and returns its exit code and standard error.
func start(environ ...string) (int, string) {
	var stdout, stderr bytes.Buffer
	code := service.Main(service.System{
		Environ: environ, Stdout: &stdout, Stderr: &stderr, Signals: make(chan os.Signal),
	}, program())
	return code, stderr.String()
}

func TestEveryMistakeIsListed(t *testing.T) {
	t.Parallel()
	code, said := start("ISSUE_BATCH=1001", "ISSUE_RATE=-1", "ADMIN_ADDR=8082", "AUTH_MODE=none", "KAFKA_BROKERS=,", "MYSQL_DSN=db")
	require.Equal(t, 2, code)
	for _, variable := range []string{"ISSUE_BATCH", "ISSUE_RATE", "ADMIN_ADDR", "AUTH_MODE", "KAFKA_BROKERS", "MYSQL_DSN"} {
		require.Contains(t, said, "consumer: "+variable)
	}
	require.Equal(t, 6, strings.Count(said, "\n"))
}

func TestContradictingDSNIsAMistake(t *testing.T) {
	t.Parallel()
	code, said := start("ADMIN_ADDR=127.0.0.1:0", "MYSQL_DSN=root@tcp(127.0.0.1:1)/coupon?clientFoundRows=true")
	require.Equal(t, 2, code)
	require.Contains(t, said, "consumer: MYSQL_DSN: ")
}

func TestMissingSchemaEndsTheStart(t *testing.T) {
	t.Parallel()
	code, said := start("ADMIN_ADDR=127.0.0.1:0", "MYSQL_DSN="+testenv.EmptyDatabase(t),
		"KAFKA_BROKERS="+strings.Join(testenv.Kafka(t), ","))
	require.Equal(t, 1, code)
	require.Contains(t, said, "the database has no schema, run batch migrate")
}
