// Package testenv gives each test a private space on the real stores: its own database, topic, campaign ids, and where
// it flushes or restarts a Redis of its own. It is imported by tests only.
//
// The stores are found in REDIS_URL, KAFKA_BROKERS and MYSQL_DSN (scripts/services.sh env prints them). Without one the
// test is skipped with the reason; with SEONCHAK_REQUIRE_REAL=1 it fails instead.
package testenv

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"
)

// Redis returns the URL of the shared Redis. A test keeps to campaign ids of its own (Campaign) and never flushes it.
func Redis(tb testing.TB) string {
	tb.Helper()
	return require(tb, "REDIS_URL")
}

// Campaign returns a campaign id no other test has.
func Campaign() string { return "t-" + token() }

// require returns the value of the variable that names a store, and ends the test when it is not set.
func require(tb testing.TB, variable string) string {
	tb.Helper()
	if v := os.Getenv(variable); v != "" {
		return v
	}
	if os.Getenv("SEONCHAK_REQUIRE_REAL") == "1" {
		tb.Fatalf("%s is not set and SEONCHAK_REQUIRE_REAL=1: run `make services` first", variable)
	}
	tb.Skipf("%s is not set: run `make services` and `eval \"$(scripts/services.sh env)\"`", variable)
	return ""
}

func token() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails: it aborts the process instead
	return hex.EncodeToString(b[:])
}
