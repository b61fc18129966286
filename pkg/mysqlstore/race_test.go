package mysqlstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	raceUsers   = 400
	leastRounds = 50
)

// race runs each of workers again and again for a second, and on a slow machine for longer. Their refusals are part of the
// game; any other error ends it.
func race(t *testing.T, workers ...func(*rand.Rand) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var group errgroup.Group
	for i, work := range workers {
		random := rand.New(rand.NewPCG(uint64(i), 11))
		group.Go(func() error {
			for round := 0; ctx.Err() == nil || round < leastRounds; round++ {
				if err := work(random); err != nil && !slices.Contains(raceRefusals, coupon.CodeOf(err)) {
					return fmt.Errorf("worker %d: %w", i, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

var raceRefusals = []coupon.Code{
	coupon.CodeLimitBelowClaimed, coupon.CodeValidationFailed, coupon.CodeAdjusting,
	coupon.CodeClaimNotFound, coupon.CodeClaimNotFinal,
}

func (b *bundle) moveLimit(id string, random *rand.Rand) (coupon.Campaign, error) {
	if random.IntN(2) == 0 {
		return b.RaiseLimit(b.tb.Context(), id, 1+random.Int64N(9), "", "")
	}
	return b.BeginLowering(b.tb.Context(), id, 1+random.Int64N(9), "", "")
}

func (b *bundle) cancelAnyone(id string, random *rand.Rand) error {
	_, _, err := b.Cancel(b.tb.Context(), keyOf(id, fmt.Sprint("u", random.IntN(raceUsers))), "")
	return err
}

// Wishes, carried events, cancels and a moving limit in mode sql: no place is lost or made, and no wall is met.
func TestStockRaceInModeSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "race"
	b.opened(id, 60)
	var events []coupon.FailedEvent
	for i := range 20 {
		events = append(events, coupon.FailedEvent{Claim: claimOf(id, fmt.Sprint("u", i), 1, 1, int64(i+1))})
	}
	require.NoError(t, b.Park(t.Context(), events))
	b.mustExec(`UPDATE campaigns SET epoch_state = 'fencing', restock_on_cancel = 1, starts_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR,
		ends_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR`)
	c, err := b.CloseEpoch(t.Context(), coupon.EpochRef{Campaign: id, Epoch: 1}, coupon.ModeSQL)
	require.NoError(t, err)
	b.mustExec("UPDATE campaigns SET epoch_since = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE") // a fence may be asked for

	var retried int64
	apply := func(random *rand.Rand) error {
		wishes := make([]coupon.Claim, 1+random.IntN(16))
		for i := range wishes {
			wishes[i] = wish(id, fmt.Sprint("u", random.IntN(raceUsers)), 1)
		}
		_, err := b.Direct(t.Context(), id, c.Epoch, wishes)
		return err
	}
	retry := func(*rand.Rand) error {
		taken, err := b.TakeFailures(t.Context(), "race", 1, time.Minute)
		for _, e := range taken {
			retried++
			_, err = b.Issue(t.Context(), id, []coupon.Delivery{{Claim: e.Claim, FailedID: e.ID}})
		}
		return err
	}
	move := func(random *rand.Rand) error { _, err := b.moveLimit(id, random); return err }
	withdraw := func(random *rand.Rand) error { return b.cancelAnyone(id, random) }
	race(t, apply, apply, apply, retry, move, move, withdraw, withdraw)

	granted := b.totals(id).Rows
	require.Positive(t, retried)
	require.Greater(t, granted, retried)
	require.Positive(t, scan[int64](b, "SELECT COUNT(*) FROM stock_ledger WHERE kind = 'return'"))
	require.Positive(t, scan[int64](b, "SELECT COUNT(*) FROM stock_ledger WHERE kind = 'lower'"))
	require.Zero(t, scan[int64](b, "SELECT fence_wanted FROM campaigns"), "no wish met the wall")
	require.Equal(t, granted, scan[int64](b, "SELECT COUNT(DISTINCT user_id, n) FROM coupons"))
	b.requireConserved(id)
	_, err = b.Direct(t.Context(), id, c.Epoch, everyone(id))
	require.NoError(t, err)
	totals := b.totals(id)
	require.Equal(t, min(totals.Limit, totals.Issued+raceUsers), totals.Limit)
	require.Equal(t, totals.Limit, totals.Issued+totals.Live(), "all stock can be sold")
}

// everyone wishes for more than any limit of the race, under names that are new.
func everyone(id string) []coupon.Claim {
	wishes := make([]coupon.Claim, MaxIssue)
	for i := range wishes {
		wishes[i] = wish(id, fmt.Sprint("late", i), 1)
	}
	return wishes
}

// counter is what Redis is to a stock move: it gives out serials up to the hi of the newest document it took.
type counter struct {
	sync.Mutex
	version, hi, count int64
	users              map[string]bool
}

func (r *counter) claim(id, user string) (coupon.Claim, bool) {
	r.Lock()
	defer r.Unlock()
	if r.users[user] || r.count >= r.hi {
		return coupon.Claim{}, false
	}
	r.users[user] = true
	r.count++
	return claimOf(id, user, 1, 1, r.count), true
}

// push answers whether hi is no higher than doc's now.
func (r *counter) push(doc coupon.Document) bool {
	r.Lock()
	defer r.Unlock()
	if doc.Version > r.version {
		r.version = doc.Version
		if doc.Hi > r.hi || doc.Hi >= r.count {
			r.hi = doc.Hi
		}
	}
	return r.hi <= doc.Hi
}

// The same while Redis gives out the serials, some through the log and some directly, and several servers push and settle
// each other's lowerings.
func TestStockRaceInModeRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "race"
	doc := b.opened(id, 60)
	b.mustExec("UPDATE campaigns SET restock_on_cancel = 1")
	redis := &counter{version: doc.Version, hi: doc.Hi, users: map[string]bool{}}

	claim := func(random *rand.Rand) error {
		c, ok := redis.claim(id, fmt.Sprint("u", random.IntN(raceUsers)))
		switch {
		case !ok:
			return nil
		case random.IntN(2) == 0:
			_, err := b.Direct(t.Context(), id, 1, []coupon.Claim{c})
			return err
		default:
			_, err := b.Issue(t.Context(), id, []coupon.Delivery{delivery(c)})
			return err
		}
	}
	settle := func(c coupon.Campaign) error {
		taken := redis.push(c.Document())
		if c.Lowering == 0 {
			return nil
		}
		_, err := b.FinishLowering(t.Context(), c.Document(), taken)
		return err
	}
	keep := func(*rand.Rand) error {
		c, err := b.Campaign(t.Context(), id)
		if err != nil {
			return err
		}
		if c, err = b.RaiseWanted(t.Context(), c.Ref(), c.Version, c.Hi); err != nil {
			return err
		}
		return settle(c)
	}
	move := func(random *rand.Rand) error {
		c, err := b.moveLimit(id, random)
		if err != nil || random.IntN(4) == 0 { // the server dies: a keeper settles it
			return err
		}
		return settle(c)
	}
	withdraw := func(random *rand.Rand) error { return b.cancelAnyone(id, random) }
	race(t, claim, claim, claim, keep, keep, move, move, withdraw)

	for range 2 { // at rest: what is open is settled, what is free is known
		require.Contains(t, []coupon.Code{"", coupon.CodeLimitBelowClaimed}, coupon.CodeOf(keep(nil)))
	}
	totals, c := b.totals(id), b.stock(id)
	require.Empty(t, totals.Failed, "no promise met the wall")
	require.Equal(t, redis.count, totals.Rows)
	require.Equal(t, totals.Limit, totals.Issued+c.Hi-redis.count)
	require.Equal(t, stockOf{totals.Limit, c.Hi, c.Hi, 0}, c)
	require.Equal(t, c.Hi, redis.hi)
	require.Positive(t, scan[int64](b, "SELECT COUNT(*) FROM stock_ledger WHERE kind = 'return'"))
	require.Positive(t, scan[int64](b, "SELECT COUNT(*) FROM stock_ledger WHERE kind = 'lower'"))
}
