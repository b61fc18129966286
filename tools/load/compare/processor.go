package compare

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the kernel's processor times, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// processorTime returns what the processes have used, user and system.
func processorTime(pids []int) (used time.Duration, err error) {
	for _, pid := range pids {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("processor time: %w", err)
		}
		ticks, err := ticksOf(string(content))
		if err != nil {
			return 0, fmt.Errorf("processor time of %d: %w", pid, err)
		}
		used += time.Duration(ticks) * tick
	}
	return used, nil
}

// ticksOf adds up fields 14 and 15. The second field is a name in parentheses that may hold anything, spaces too.
func ticksOf(stat string) (int64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("no stat: %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return user + system, err
}
