package redisstock

import (
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestWeaknesses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		args []string
		want []string
	}{
		{"as it should be", []string{"--appendonly", "yes", "--repl-backlog-ttl", "0"}, nil},
		{
			"evicting",
			[]string{"--appendonly", "yes", "--repl-backlog-ttl", "0", "--maxmemory-policy", "allkeys-lru"},
			[]string{"allkeys-lru"},
		},
		{"all", []string{"--maxmemory-policy", "volatile-ttl"}, []string{"appendonly no", "volatile-ttl", "repl-backlog-ttl 3600"}},
		{
			"a replica",
			[]string{"--appendonly", "yes", "--repl-backlog-ttl", "0", "--replicaof", "127.0.0.1 1"},
			[]string{"is a replica"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			requireWeak(t, connect(t, testenv.PrivateRedis(t, c.args...).URL), c.want)
		})
	}
	t.Run("does not tell", func(t *testing.T) {
		t.Parallel()
		requireWeak(t, connect(t, "redis://"+miniredis.RunT(t).Addr()), []string{
			"does not tell its maxmemory-policy", "does not tell whether appendonly", "tells no replication id",
		})
	})
	t.Run("may not tell", func(t *testing.T) {
		t.Parallel()
		b := connect(t, testenv.PrivateRedis(t).URL)
		require.NoError(t, b.client.Do(t.Context(), "ACL", "SETUSER", "default", "-info", "-config").Err())
		requireWeak(t, b, []string{
			"does not answer INFO in scripts", "does not tell its maxmemory-policy", "does not tell whether appendonly",
		})
	})
}

func requireWeak(t *testing.T, b bundle, want []string) {
	t.Helper()
	found, err := b.Weaknesses(t.Context())
	require.NoError(t, err)
	require.Len(t, found, len(want))
	for i, sentence := range found {
		require.Contains(t, sentence, want[i])
		require.True(t, strings.HasSuffix(sentence, "."))
	}
}
