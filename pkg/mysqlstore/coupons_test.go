package mysqlstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestCouponsOfAndFailuresOf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("many", 10)
	b.opened("other", 10)
	b.issued("many", delivery(claimOf("many", "a", 2, 1, 1)), delivery(claimOf("many", "b", 1, 1, 2)),
		delivery(claimOf("many", "c", 1, 1, 3)))
	b.issued("other", delivery(claimOf("other", "d", 1, 1, 1)))
	require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{
		{Claim: claimOf("many", "a", 1, 1, 4), Status: coupon.FailureParked},
		{Claim: claimOf("many", "d", 1, 1, 5), Status: coupon.FailureParked},
		{Claim: claimOf("many", "d", 1, 1, 6), Status: coupon.FailureLeased},
		{Claim: claimOf("many", "e", 1, 1, 7), Status: coupon.FailureDone},
		{Claim: claimOf("other", "b", 1, 1, 8)},
	}))
	key := func(user string, n int) coupon.Key { return coupon.Key{Campaign: "many", User: user, N: n} }
	keys := []coupon.Key{key("c", 1), key("d", 1), key("a", 1), key("a", 2), key("b", 2), key("a ", 2), key("é", 1), key("e", 1)}

	coupons, err := b.CouponsOf(t.Context(), "many", keys)
	require.NoError(t, err)
	require.Len(t, coupons, 2)
	for i, want := range []coupon.Claim{claimOf("many", "c", 1, 1, 3), claimOf("many", "a", 2, 1, 1)} {
		require.Equal(t, want, coupons[i].Claim)
		require.True(t, coupon.ValidCode(coupons[i].Code))
	}
	failures, err := b.FailuresOf(t.Context(), "many", keys)
	require.NoError(t, err)
	require.Equal(t, map[coupon.Key]coupon.FailureStatus{
		key("a", 1): coupon.FailureParked, key("d", 1): coupon.FailureLeased,
	}, failures)
	for k, want := range failures {
		one, _, err := b.Failure(t.Context(), k)
		require.NoError(t, err)
		require.Equal(t, want, one)
	}

	coupons, err = b.CouponsOf(t.Context(), "many", nil)
	require.NoError(t, err)
	require.Empty(t, coupons)
	failures, err = b.FailuresOf(t.Context(), "nowhere", keys)
	require.NoError(t, err)
	require.Empty(t, failures)
}

// Both servers walk ranges of the key, however little they know of the tables.
func TestQueriesOfManyUsersUseTheKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("many", 3000)
	for from := 0; from < 3000; from += MaxIssue {
		batch := make([]coupon.Delivery, MaxIssue)
		events := make([]coupon.FailedEvent, MaxIssue)
		for i := range batch {
			serial := int64(from + i + 1)
			batch[i] = delivery(claimOf("many", fmt.Sprint("u", serial), 1, 1, serial))
			events[i] = coupon.FailedEvent{Claim: claimOf("many", fmt.Sprint("u", serial), 1, 1, serial)}
		}
		b.issued("many", batch...)
		require.NoError(t, b.Park(t.Context(), events))
	}
	users := make([]string, 500)
	for i := range users {
		users[i] = fmt.Sprint("u", 2*i)
	}
	args := userArgs("many", users)
	in := tuples(1, len(users))
	for key, query := range map[string]string{
		"coupons_one_each":    selectCoupons + " WHERE c.slug = ? AND p.user_id IN " + in,
		"failed_events_claim": selectLiveFailures + in,
	} {
		plan := b.explain(query, args...)
		require.Contains(t, plan, "range "+key, "%s", plan)
	}
	plan := b.explain(selectCoupons+" WHERE c.slug = ? AND p.user_id = ? AND p.n = ? FOR UPDATE", "many", "u7", 1)
	require.Contains(t, plan, "const coupons_one_each", "%s", plan)
}

// explain returns type and key of each table of a query's plan.
func (b *bundle) explain(query string, args ...any) string {
	b.tb.Helper()
	var plan []struct{ Type, Key string }
	require.NoError(b.tb, b.db.Raw("EXPLAIN FORMAT=TRADITIONAL "+query, args...).Scan(&plan).Error)
	lines := make([]string, len(plan))
	for i, p := range plan {
		lines[i] = p.Type + " " + p.Key
	}
	return strings.Join(lines, "\n")
}
