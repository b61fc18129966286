package env

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type settings struct {
	Process
	Redis
	Kafka
	MySQL
	HTTPAddr  Address       `env:"HTTP_ADDR" envDefault:":8080" doc:"address of the public listener"`
	Queue     int           `env:"QUEUE" envDefault:"8192" doc:"applies that may wait, from 1 to 1,000,000"`
	Limit     Rate          `env:"LIMIT" envDefault:"10/s" doc:"applies per user"`
	Retention time.Duration `env:"RETENTION" envDefault:"90d" doc:"age at which history is deleted"`
	Key       Secret        `env:"KEY" doc:"signs tokens"`
	Needed    string        `env:"NEEDED,required" doc:"has no default"`
	Origins   []URL         `env:"ORIGINS" doc:"who may call"`
}

func (s settings) Validate() []error {
	return []error{
		Between("QUEUE", s.Queue, 1, 1_000_000),
		Check(len(s.Key.Reveal()) >= 4, "KEY", "must have 4 bytes or more"),
	}
}

func TestLoadDefaults(t *testing.T) {
	t.Parallel()
	got, err := Load[settings]([]string{"KEY=12345", "NEEDED=x", "QUEUE=", "UNKNOWN=1"})
	require.NoError(t, err)
	require.Equal(t, RedisURL("redis://127.0.0.1:6379/0"), got.URL)
	require.Equal(t, Brokers{"127.0.0.1:9092"}, got.Brokers)
	require.Equal(t, MySQLDSN("root@tcp(127.0.0.1:3306)/coupon"), got.DSN)
	require.False(t, got.TLS)
	require.False(t, got.AllowWeakStores)
	require.False(t, got.Production())
	require.Equal(t, slog.LevelInfo, got.Level())
	require.Equal(t, "json", got.LogFormat)
	require.Equal(t, Address(":8080"), got.HTTPAddr)
	require.Equal(t, 8192, got.Queue, "set to nothing is not set")
	require.InDelta(t, 10, got.Limit.PerSecond(), 0)
	require.Equal(t, 90*24*time.Hour, got.Retention)
	require.Equal(t, "12345", got.Key.Reveal())
	require.Empty(t, got.Origins)
}

func TestLoadValues(t *testing.T) {
	t.Parallel()
	password := file(t, "pass word\r\n")
	got, err := Load[settings]([]string{
		"NEEDED=x", "KEY=12345", "APP_ENV=production", "ALLOW_WEAK_STORES=1", "LOG_LEVEL=DEBUG", "KAFKA_BROKERS=a:1, b:2",
		"KAFKA_TLS=1", "KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "KAFKA_SASL_USERNAME=u", "KAFKA_SASL_PASSWORD_FILE=" + password,
		"ORIGINS=https://a.example,http://b.example:81", "RETENTION=36h",
	})
	require.NoError(t, err)
	require.True(t, got.Production())
	require.True(t, got.AllowWeakStores)
	require.Equal(t, slog.LevelDebug, got.Level())
	require.Equal(t, Brokers{"a:1", "b:2"}, got.Brokers)
	require.True(t, got.TLS)
	require.Equal(t, "pass word", got.SASLPassword.Reveal())
	require.Equal(t, []URL{"https://a.example", "http://b.example:81"}, got.Origins)
	require.Equal(t, 36*time.Hour, got.Retention)
}

func TestLoadListsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := Load[settings]([]string{
		"APP_ENV=prodution", "ALLOW_WEAK_STORES=maybe", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "OTEL_EXPORTER_OTLP_ENDPOINT=collector",
		"REDIS_URL=http://user:hunter2@redis", "KAFKA_BROKERS=a:1,,b:2", "KAFKA_SASL_USERNAME=u", "KAFKA_SASL_MECHANISM=GUESS",
		"MYSQL_DSN=root:hunter2@tcp(db:3306)", "HTTP_ADDR=8080", "QUEUE=many", "LIMIT=often", "RETENTION=-1s", "KEY=abc",
	})
	var mistakes Mistakes
	require.ErrorAs(t, err, &mistakes)
	require.Equal(t, []string{
		`ALLOW_WEAK_STORES="maybe": must be 0 or 1`,
		`OTEL_EXPORTER_OTLP_ENDPOINT="collector": must be an http or https URL`,
		`REDIS_URL: must begin with redis://host, rediss://host or redis+sentinel://host`,
		`KAFKA_BROKERS="a:1,,b:2": must be a comma list of host:port`,
		`MYSQL_DSN: must have the form user:password@tcp(host:3306)/database`,
		`HTTP_ADDR="8080": must be host:port, such as 127.0.0.1:8080 or :8080`,
		`QUEUE="many": must be a whole number`,
		`LIMIT="often": must be a rate such as 10/s or 600/m, or 0 for no limit`,
		`RETENTION="-1s": must be a duration such as 500ms, 10s, 1h30m or 90d`,
		`NEEDED: must be set`,
		`APP_ENV="prodution": must be one of: development, production`,
		`LOG_FORMAT="xml": must be one of: json, text`,
		`LOG_LEVEL="loud": must be one of: debug, info, warn, error`,
		`KAFKA_SASL_MECHANISM="GUESS": must be one of: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512`,
		`KAFKA_SASL_PASSWORD_FILE: must be set when KAFKA_SASL_MECHANISM is`,
		`KEY: must have 4 bytes or more`,
	}, strings.Split(err.Error(), "\n"))
}

func TestValidateOfAGroupIsHeardOnce(t *testing.T) {
	t.Parallel()
	type inherits struct{ Process }
	_, err := Load[inherits]([]string{"APP_ENV=x"})
	require.EqualError(t, err, `APP_ENV="x": must be one of: development, production`)
}

type strict struct {
	N int `env:"N" envDefault:"0"`
}

func (s *strict) Validate() []error {
	return []error{Check(false, "N", "is\nodd"), Check(false, "N", "is late"), fmt.Errorf("and more"), nil}
}

func TestMistakesStayApart(t *testing.T) {
	t.Parallel()
	_, err := Load[strict](nil)
	require.EqualError(t, err, "N: is odd\nN: is late\nand more")
	got, err := Load[strict]([]string{"N=one"})
	require.EqualError(t, err, "N=\"one\": must be a whole number\nand more")
	require.Zero(t, got.N)
	var mistake Mistake
	require.ErrorAs(t, err, &mistake)
	require.Equal(t, "N", mistake.Variable)
}

func TestHelpListsEveryVariable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, Help(&out, settings{}))
	for _, line := range []string{
		"APP_ENV development", "ALLOW_WEAK_STORES 0", "LOG_LEVEL info", "LOG_FORMAT json", "OTEL_EXPORTER_OTLP_ENDPOINT -",
		"REDIS_URL redis://127.0.0.1:6379/0", "KAFKA_BROKERS 127.0.0.1:9092", "KAFKA_TLS 0", "KAFKA_SASL_MECHANISM -",
		"KAFKA_SASL_USERNAME -", "KAFKA_SASL_PASSWORD_FILE -", "MYSQL_DSN root@tcp(127.0.0.1:3306)/coupon",
		"HTTP_ADDR :8080 address of the public listener", "KEY - signs tokens", "KEY_FILE - file that holds KEY",
	} {
		require.Contains(t, "\n"+strings.Join(words(out.String()), "\n"), "\n"+line)
	}
	lines := strings.Split(out.String(), "\n")
	column := strings.Index(lines[0], "MEANING")
	for _, line := range lines[1 : len(lines)-1] {
		require.Equal(t, " ", line[column-1:column], line)
		require.NotEqual(t, " ", line[column:column+1], "every variable says what it means: %s", line)
	}
	require.Error(t, Help(broken{}, settings{}))
}

// words returns the lines of text with single blanks.
func words(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("closed") }
