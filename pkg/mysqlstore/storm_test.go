package mysqlstore

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Ten times the stock for two campaigns, from eight goroutines whose random batches overlap: redeliveries, twins, users
// with two serials and serials with two users. Whatever the order, the record is exact.
func TestIssueStorm(t *testing.T) {
	t.Parallel()
	const (
		limit   = 300
		offered = 10 * limit
		workers = 8
	)
	b := setup(t)
	campaigns := []string{"storm-a", "storm-b"}
	for _, id := range campaigns {
		b.opened(id, limit)
	}
	b.mustExec("UPDATE campaign_epochs SET hi_max = ?", offered) // a Redis that gave out ten times too much
	var group errgroup.Group
	for worker := range workers {
		random := rand.New(rand.NewPCG(uint64(worker), 7))
		group.Go(func() error {
			for range 12 {
				id := campaigns[random.IntN(len(campaigns))]
				batch := make([]coupon.Delivery, 1+random.IntN(500))
				for i := range batch {
					batch[i] = delivery(stormClaim(id, random, offered))
				}
				results, err := b.Issue(t.Context(), id, batch)
				if err != nil {
					return err // a deadlock too: there must be none
				}
				if len(results) != len(batch) {
					return fmt.Errorf("%d results of %d deliveries", len(results), len(batch))
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	for _, id := range campaigns {
		totals := b.totals(id)
		require.EqualValues(t, limit, totals.Rows)
		require.EqualValues(t, limit, totals.Issued)
		require.Positive(t, totals.Failed[coupon.FailureParked])
		require.Zero(t, totals.Failed[coupon.FailureDead])
		require.EqualValues(t, limit, scan[int64](b, `SELECT COUNT(DISTINCT user_id, n) FROM coupons p
			JOIN campaigns c ON c.id = p.campaign_id WHERE c.slug = ?`, id))
		require.EqualValues(t, limit, scan[int64](b, `SELECT COUNT(DISTINCT p.code) FROM coupons p
			JOIN campaigns c ON c.id = p.campaign_id WHERE c.slug = ?`, id))
	}
}

// stormClaim is mostly serial s of user s, at times another user's serial.
func stormClaim(id string, random *rand.Rand, offered int) coupon.Claim {
	serial := 1 + random.IntN(offered)
	user := serial
	if random.IntN(20) == 0 {
		user = 1 + random.IntN(offered)
	}
	return claimOf(id, "u"+strconv.Itoa(user), 1, 1, int64(serial))
}

// A serial belongs to the user who had it first, however often others come with it.
func TestIssueKeepsFirstOwner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("owner", 200)
	var group errgroup.Group
	first := make([]coupon.Delivery, 100)
	for i := range first {
		first[i] = delivery(claimOf("owner", "first"+strconv.Itoa(i), 1, 1, int64(i+1)))
	}
	b.issued("owner", first...)
	for worker := range 4 {
		late := make([]coupon.Delivery, len(first))
		for i := range late {
			late[i] = delivery(claimOf("owner", fmt.Sprintf("late%d-%d", worker, i), 1, 1, int64(i+1)))
		}
		group.Go(func() error {
			_, err := b.Issue(t.Context(), "owner", append(late, first...))
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, 100, scan[int64](b, "SELECT COUNT(*) FROM coupons WHERE user_id = CONCAT('first', serial - 1)"))
	require.EqualValues(t, 100, b.totals("owner").Issued)
	require.EqualValues(t, 400, b.totals("owner").Failed[coupon.FailureParked])
}
