package mysqlstore

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	lanes         = 4
	laneCampaigns = 40
	laneUsers     = 60
	laneTwice     = 20 // deliveries that come again
	laneTaken     = 10 // users who want the serial of another
	lanePoison    = 5
)

// Campaigns are issued side by side, and their keys lie next to each other in the unique indexes of coupons and of failed
// events, where a duplicate locks the gap beside it. No two transactions wait for each other all the same, and every
// delivery becomes a row or a failed event, once.
func TestCampaignsSideBySide(t *testing.T) {
	t.Parallel()
	b := setup(t)
	random := rand.New(rand.NewPCG(40, 4))
	var work [][]coupon.Delivery
	for i := range laneCampaigns {
		id := fmt.Sprintf("lane-%02d", i)
		b.opened(id, 2*laneUsers)
		work = append(work, mixed(id, random)...)
	}
	b.mustExec("UPDATE campaigns SET epoch_since = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE") // a fence may be asked for
	shuffle(random, work)

	var locks atomic.Int64
	for range 2 { // the second time all are duplicates
		var group errgroup.Group
		group.SetLimit(lanes)
		for _, batch := range work {
			group.Go(func() error {
				for {
					_, err := b.Issue(t.Context(), batch[0].Claim.Campaign, batch)
					if number := serverError(err); number != errDeadlock && number != errLockTimeout {
						return err
					}
					locks.Add(1)
				}
			})
		}
		require.NoError(t, group.Wait())
		b.requireLanesSettled()
	}
	require.Zero(t, locks.Load(), "deadlocks and lock time-outs")
}

// mixed returns deliveries of a campaign in batches: claims that come once or twice, claims of serials that others have, and
// poison.
func mixed(id string, random *rand.Rand) (batches [][]coupon.Delivery) {
	var all []coupon.Delivery
	for i := range laneUsers {
		serial := int64(i + 1)
		all = append(all, delivery(claimOf(id, fmt.Sprintf("u%02d", i), 1, 1, serial)))
		if i < laneTwice {
			all = append(all, all[len(all)-1])
		}
		if i >= laneUsers-laneTaken {
			all = append(all, delivery(claimOf(id, fmt.Sprintf("t-u%02d", i), 1, 1, serial)))
		}
		if i < lanePoison {
			all = append(all, delivery(claimOf(id, fmt.Sprintf("p%02d", i), 1, 1, 1_000_000+serial)))
		}
	}
	shuffle(random, all)
	for len(all) > 0 {
		n := min(1+random.IntN(25), len(all))
		batches, all = append(batches, all[:n]), all[n:]
	}
	return batches
}

func shuffle[T any](random *rand.Rand, of []T) {
	random.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
}

func (b *bundle) requireLanesSettled() {
	b.tb.Helper()
	const all = laneCampaigns * laneUsers
	require.EqualValues(b.tb, all, scan[int64](b, "SELECT COUNT(*) FROM coupons"))
	require.EqualValues(b.tb, all, scan[int64](b, "SELECT COUNT(DISTINCT campaign_id, serial, RIGHT(user_id, 2)) FROM coupons WHERE RIGHT(user_id, 2) + 1 = serial"))
	require.EqualValues(b.tb, laneCampaigns, scan[int64](b, "SELECT COUNT(*) FROM campaigns WHERE issued = ? AND fence_wanted = epoch", laneUsers))
	require.EqualValues(b.tb, laneCampaigns*(laneTaken+lanePoison), scan[int64](b, "SELECT COUNT(*) FROM failed_events"))
	require.EqualValues(b.tb, laneCampaigns*lanePoison, scan[int64](b, "SELECT COUNT(*) FROM failed_events WHERE status = 'dead' AND reason = 'serial_out_of_range'"))
	require.EqualValues(b.tb, laneCampaigns*laneTaken, scan[int64](b, `SELECT COUNT(*) FROM failed_events f
		JOIN coupons k ON k.campaign_id = f.campaign_id AND k.serial = f.serial AND k.user_id <> f.user_id
		WHERE f.status = 'parked' AND f.reason = 'serial_taken'`), "of two that want a serial one has it, and the other is kept")
}
