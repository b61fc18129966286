package memory

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/seonchak/seonchak/tools/drop"
)

// roomPerClaim is what a pending claim may take while tables grow, and what a fork makes Redis copy, in bytes.
const roomPerClaim = 600

// room returns an error unless the machine has memory for so many claims.
func room(claims int) error {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	return enough(string(content), claims)
}

func enough(meminfo string, claims int) error {
	for line := range strings.Lines(meminfo) {
		var free int64 // in kB
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &free); n != 1 {
			continue
		}
		if needed := int64(claims) * roomPerClaim >> 10; free < needed {
			return fmt.Errorf("%s claims need %s MB of memory, and %s MB are free", drop.Number(int64(claims)), drop.Number(needed>>10), drop.Number(free>>10))
		}
		return nil
	}
	return errors.New("/proc/meminfo does not say how much memory is free")
}
