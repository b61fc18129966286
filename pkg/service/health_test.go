package service

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	admin := servedAdmin(t, AdminOptions{Address: "127.0.0.1:0"})
	_, port, err := net.SplitHostPort(admin.Addr())
	require.NoError(t, err)
	check := func(environ ...string) (int, string) {
		p := newProcess(environ, "healthcheck")
		return Main(p.System, program(nil)), p.err.String()
	}

	code, said := check("ADMIN_ADDR=" + admin.Addr())
	require.Equal(t, 1, code)
	require.Contains(t, said, "503")

	admin.Ready()
	for _, environ := range [][]string{
		{"ADMIN_ADDR=" + admin.Addr()},
		{"ADMIN_ADDR=:" + port},
		{"ADMIN_ADDR=0.0.0.0:" + port, "BATCH=a mistake elsewhere", "HTTP_PROXY=http://127.0.0.1:1"},
	} {
		code, said = check(environ...)
		require.Equal(t, 0, code, said)
		require.Empty(t, said)
	}

	code, said = check("ADMIN_ADDR=nowhere")
	require.Equal(t, 2, code)
	require.Contains(t, said, "ADMIN_ADDR")

	require.NoError(t, admin.Drain(t.Context(), 0))
	code, _ = check("ADMIN_ADDR=" + admin.Addr())
	require.Equal(t, 1, code)
}

func TestHealthcheckIsBounded(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	began := time.Now()
	p := newProcess([]string{"ADMIN_ADDR=" + silent.Addr().String()}, "healthcheck")
	require.Equal(t, 1, Main(p.System, program(nil)))
	require.Less(t, time.Since(began), healthTimeout+time.Second)
}

func TestHealthcheckWithoutAListener(t *testing.T) {
	t.Parallel()
	deaf := program(nil)
	deaf.Admin = nil
	require.Equal(t, 0, Main(newProcess(nil, "healthcheck").System, deaf))
	require.Equal(t, 2, Main(newProcess([]string{"BATCH=0"}, "healthcheck").System, deaf))
}
