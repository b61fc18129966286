//go:build planted

package planted

import (
	"os"
	"slices"
	"strings"
)

var bugs = strings.Split(os.Getenv("SEONCHAK_PLANTED"), ",")

// On reports whether SEONCHAK_PLANTED names the bug.
func On(b Bug) bool { return slices.Contains(bugs, string(b)) }
