// Package freeport gives out loopback ports on which nobody listens, to the tests and to the tools that start programs.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
)

// The ports given out lie below those that the system gives to outgoing connections, so that a program that was killed
// finds its port free when it is started again.
const (
	lowestPort = 10_000
	ports      = 10_000
)

// The ports are tried in turn, so that none is given out again before its server listens; where this process begins is
// left to chance, for the sake of others.
var (
	firstPort = rand.IntN(ports)
	tried     atomic.Int64
)

// Next returns the next free port of 127.0.0.1. It knocks instead of listening itself: a program started in that moment
// holds every open file until its exec, a listener too, and would keep the port for so long.
func Next() (string, error) {
	for range ports {
		port := strconv.Itoa(lowestPort + (firstPort+int(tried.Add(1)))%ports)
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
		if errors.Is(err, syscall.ECONNREFUSED) {
			return port, nil
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	return "", errors.New("no loopback port is free")
}
