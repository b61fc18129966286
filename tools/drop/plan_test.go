package drop

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePlan(t *testing.T) {
	t.Parallel()
	users := Users(2000)
	plan := Plan(users, 5000, 42)
	require.Len(t, plan, 5000)
	require.Equal(t, plan, Plan(users, 5000, 42))
	require.NotEqual(t, plan, Plan(users, 5000, 43))

	seen, doubles := map[string]bool{}, 0
	for i, apply := range plan {
		require.Equal(t, 1, apply.N)
		seen[apply.User] = true
		if i > 0 && apply == plan[i-1] {
			doubles++
		}
	}
	require.Len(t, seen, 2000)
	require.GreaterOrEqual(t, doubles, 1500)
	require.Len(t, Plan(users, 10, 1), 10)
	require.False(t, slices.IsSortedFunc(plan, func(a, b Apply) int { return len(a.User) - len(b.User) }))
}
