package env

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTypes(t *testing.T) {
	t.Parallel()
	type config struct {
		Address Address       `env:"ADDRESS"`
		Brokers Brokers       `env:"BROKERS"`
		Rate    Rate          `env:"RATE"`
		URL     URL           `env:"URL"`
		Redis   RedisURL      `env:"REDIS"`
		DSN     MySQLDSN      `env:"DSN"`
		Age     time.Duration `env:"AGE"`
		Big     int64         `env:"BIG"`
		On      bool          `env:"ON"`
	}
	good := []string{
		"ADDRESS=:0", "ADDRESS=[::1]:8081", "ADDRESS=localhost:65535", "BROKERS=k-0.k:9092", "RATE=0", "RATE=0/s", "RATE=2.5/s",
		"RATE=600/m", "RATE=500", "URL=https://idp.example/jwks", "REDIS=redis://a:1,b:2", "REDIS=redis+sentinel://a,b/m",
		"DSN=/coupon", "AGE=0d", "AGE=1h30m", "BIG=9007199254740993", "ON=true", "ON=0",
	}
	bad := []string{
		"ADDRESS=8080", "ADDRESS=:http", "ADDRESS=:65536", "ADDRESS=::1:8080", "ADDRESS=http://a:1", "ADDRESS=a b:1", "BROKERS=a",
		"BROKERS=,", "BROKERS=:9092", "BROKERS=a:0", "RATE=-1", "RATE=10/d", "RATE=10/", "RATE=NaN", "RATE=Inf", "RATE=/s",
		"URL=idp", "URL=ftp://a", "URL=https://u:p@a", "REDIS=redis://", "REDIS=redis:///0", "REDIS=h:6379", "REDIS=redis://,a",
		"DSN=coupon", "DSN=root@tcp(a)/", "DSN=root@tcp(a)/?x=1", "DSN=mysql://root@a/coupon", "AGE=5", "AGE=-1d", "AGE=9999999d",
		"AGE=1d2h", "BIG=1e3", "ON=yes",
	}
	for _, setting := range good {
		_, err := Load[config]([]string{setting})
		require.NoError(t, err, setting)
	}
	for _, setting := range bad {
		_, err := Load[config]([]string{setting})
		name, _, _ := strings.Cut(setting, "=")
		require.ErrorContains(t, err, name, setting)
	}
	rate, err := Load[config]([]string{"RATE=600/m"})
	require.NoError(t, err)
	require.InDelta(t, 10, rate.Rate.PerSecond(), 0)
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, reachable, loopback string }{
		{":8081", "127.0.0.1:8081", "127.0.0.1:8081"},
		{"0.0.0.0:8081", "127.0.0.1:8081", ""},
		{"[::]:8081", "[::1]:8081", ""},
		{"10.0.0.7:8081", "10.0.0.7:8081", ""},
		{"example.com:8081", "example.com:8081", ""},
		{"127.0.0.9:8081", "127.0.0.9:8081", "127.0.0.9:8081"},
		{"[::1]:8081", "[::1]:8081", "[::1]:8081"},
		{"localhost:8081", "localhost:8081", "localhost:8081"},
	} {
		require.Equal(t, c.reachable, Address(c.in).Reachable(), c.in)
		confined, err := Address(c.in).OnLoopback()
		require.Equal(t, c.loopback == "", err != nil, c.in)
		require.Equal(t, Address(c.loopback), confined, c.in)
	}
}
