//go:build !race

package httpapi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Under the race detector a sync.Pool forgets at random, and gin's contexts are made anew: there nothing can be counted.
// scripts/test.sh runs this test without it.
func TestAnApplyAllocatesNoMore(t *testing.T) {
	for _, c := range calls(t) {
		t.Run(c.name, func(t *testing.T) {
			require.LessOrEqual(t, testing.AllocsPerRun(1000, c.again(t)), c.allocs)
		})
	}
}
