//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// countdowns are how many more passes each armed point survives.
var countdowns = armed(os.Getenv("SEONCHAK_FAILPOINTS"))

// Hit kills this process if p is armed and this is the pass it is armed for.
func Hit(p Point) {
	left, ok := countdowns[p]
	if !ok || left.Add(-1) != 0 {
		return
	}
	_, _ = fmt.Fprintf(os.Stderr, "failpoint %s: killed\n", p)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way: nothing more may happen here
}

func armed(list string) map[Point]*atomic.Int64 {
	points := map[Point]*atomic.Int64{}
	for entry := range strings.SplitSeq(list, ",") {
		name, passes, found := strings.Cut(strings.TrimSpace(entry), "=")
		n, err := strconv.ParseInt(passes, 10, 64)
		if !found || err != nil || n < 1 {
			continue
		}
		left := new(atomic.Int64)
		left.Store(n)
		points[Point(name)] = left
	}
	return points
}
