package freeport

import (
	"context"
	"net"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The ports are counted for the whole process, so these tests run one after the other.

func TestNoPortIsGivenOutTwice(t *testing.T) {
	given := map[string]bool{}
	for range 200 { // drawn by chance, two of them would be the same with 86 % of all seeds
		port, err := Next()
		require.NoError(t, err)
		require.False(t, given[port], port)
		given[port] = true
	}
}

func TestAPortWhereSomebodyListensIsPassedOver(t *testing.T) {
	port, err := Next()
	require.NoError(t, err)
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	tried.Add(-1) // this port is the next to be tried
	next, err := Next()
	require.NoError(t, err)
	require.NotEqual(t, port, next)
}

func TestAPortIsFreeWhileProgramsStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for ctx.Err() == nil {
				_ = exec.Command("/bin/true").Run()
			}
		})
	}
	for range 1000 {
		port, err := Next()
		require.NoError(t, err)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
	cancel()
	starting.Wait()
}
