package worker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

const (
	partitions = 4
	perDrop    = 2000 // coupons of each of two campaigns
	repeats    = 900  // claims that are in the log twice
	poisonous  = 100
)

// TestEveryRecordOnce sends 5,000 records through two workers on real stores, one of which dies after the database
// committed and before the log knows it, and reads the verdict from the database.
func TestEveryRecordOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first, second := s.openCampaign(), s.openCampaign()
	claims := append(claimsOf(first, perDrop), claimsOf(second, perDrop)...)
	for i := range repeats {
		claims = append(claims, claims[i*4])
	}
	poison := s.publish(claims, poisonOf(first))
	require.Len(t, poison, poisonous)
	_, err := s.admin.Barrier(t.Context(), s.topic, "test")
	require.NoError(t, err)

	group := testenv.Group()
	dead := s.work(group, true)
	require.Eventually(t, func() bool { return dead.issued.Load() > 0 }, time.Minute, time.Millisecond,
		"the other could have read everything before this one is in the group")
	survivor := s.work(group, false)
	require.NoError(t, <-dead.ended)
	require.Positive(t, dead.issued.Load())
	s.awaitEnd(group)
	survivor.end(t)
	s.requireVerdict([]string{first, second}, poison)
	duplicates := dead.sum(coupon.OutcomeDuplicate, first, second) + survivor.sum(coupon.OutcomeDuplicate, first, second)
	require.Greater(t, duplicates, float64(repeats), "rows the dead one left without offsets were delivered again")

	again := testenv.Group() // everything a second time, as another group
	repeat := s.work(again, false)
	s.awaitEnd(again)
	repeat.end(t)
	s.requireVerdict([]string{first, second}, poison)
	require.Zero(t, repeat.sum(coupon.OutcomeIssued, first, second))
	require.InDelta(t, len(claims), repeat.sum(coupon.OutcomeDuplicate, first, second), 0)
	require.InDelta(t, poisonous, repeat.sum(coupon.OutcomeDead, "", first), 0)
}

// TestLockedRowStopsNobodyElse holds the lock of one campaign's row: the other campaign is issued, the claims of the
// locked one become failed events, and the log is drained all the same.
func TestLockedRowStopsNobodyElse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	locked, free := s.openCampaign(), s.openCampaign()
	tx, err := s.store.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT id FROM campaigns WHERE slug = ? FOR UPDATE", locked)
	require.NoError(t, err)
	s.publish(append(claimsOf(locked, 10), claimsOf(free, 10)...), nil)

	group := testenv.Group()
	w := s.work(group, false)
	s.awaitEnd(group)
	w.end(t)
	require.NoError(t, tx.Rollback())
	require.Equal(t, []int64{10, 10}, s.numbers(`SELECT COUNT(*), SUM(c.slug = ?)
		FROM coupons k JOIN campaigns c ON c.id = k.campaign_id`, free))
	require.Equal(t, []int64{10, 10}, s.numbers(`SELECT COUNT(*), SUM(c.slug = ? AND f.status = 'pending'
		AND f.reason = 'transient_exhausted' AND f.next_attempt_at <= UTC_TIMESTAMP(6)
		AND f.event_key = CONCAT(c.slug, ':', f.user_id, ':', f.n, ':', f.epoch, ':', f.serial))
		FROM failed_events f JOIN campaigns c ON c.id = f.campaign_id`, locked))
}
