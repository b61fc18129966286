package mysqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestCarriedClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "carry"
	b.opened(id, 100)
	b.opened("other", 100)
	b.issued(id, delivery(claimOf(id, "served", 1, 1, 50)))
	want := []coupon.Claim{
		claimOf(id, "a", 1, 1, 9), claimOf(id, "b", 1, 1, 8), claimOf(id, "b", 1, 1, 7), claimOf(id, "b", 2, 1, 6),
		claimOf(id, "c", 1, 1, 5),
	}
	live := []coupon.FailureStatus{coupon.FailurePending, coupon.FailureParked, coupon.FailureLeased}
	for i, claim := range want {
		b.keep(claim, live[i%len(live)])
	}
	b.keep(claimOf(id, "done", 1, 1, 4), coupon.FailureDone)
	b.keep(claimOf(id, "served", 1, 1, 51), coupon.FailurePending)
	b.keep(claimOf("other", "elsewhere", 1, 1, 1), coupon.FailurePending)
	b.fenced(id, coupon.ModeRedis)
	b.keep(claimOf(id, "late", 1, 1, 3), coupon.FailurePending)

	var got []coupon.Claim
	var after int64
	for {
		page, last, err := b.CarriedClaims(t.Context(), id, after, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			require.Equal(t, after, last)
			break
		}
		require.LessOrEqual(t, len(page), 2)
		require.Greater(t, last, after)
		got, after = append(got, page...), last
	}
	require.Equal(t, want, got)
	none, _, err := b.CarriedClaims(t.Context(), "nowhere", 0, 10)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestIssuedClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("rows", 100)
	b.opened("other", 100)
	b.issued("other", delivery(claimOf("other", "x", 1, 1, 1)))
	var want []coupon.Claim
	for serial := range int64(7) {
		claim := claimOf("rows", fmt.Sprint("u", serial), 1, 1, 2*serial+1)
		claim.ClaimedAt = noon.Add(time.Duration(serial) * time.Microsecond)
		want = append(want, claim)
		b.issued("rows", delivery(claim))
	}
	b.mustExec("UPDATE coupons SET status = 'cancelled' WHERE serial = 3")

	var got []coupon.Claim
	var after int64
	for {
		page, err := b.IssuedClaims(t.Context(), "rows", after, 3)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		got, after = append(got, page...), page[len(page)-1].Serial
	}
	require.Equal(t, want, got)
	none, err := b.IssuedClaims(t.Context(), "nowhere", 0, 10)
	require.NoError(t, err)
	require.Empty(t, none)
}

// One that becomes a row between the two reads is seen twice, never missed.
func TestLoadingMissesNobodyWhoIsIssuedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("x", 10)
	claim := claimOf("x", "a", 1, 1, 1)
	b.keep(claim, coupon.FailurePending)
	b.fenced("x", coupon.ModeRedis)
	carried, _, err := b.CarriedClaims(t.Context(), "x", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []coupon.Claim{claim}, carried)
	b.issued("x", coupon.Delivery{Claim: claim, FailedID: scan[int64](b, "SELECT id FROM failed_events")})
	issued, err := b.IssuedClaims(t.Context(), "x", 0, 10)
	require.NoError(t, err)
	require.Equal(t, carried, issued)
	carried, _, err = b.CarriedClaims(t.Context(), "x", 0, 10)
	require.NoError(t, err)
	require.Empty(t, carried)
}

// BenchmarkIssuedClaims reads a page of 5,000 of 100,000 rows, as a rebuild does.
func BenchmarkIssuedClaims(b *testing.B) {
	const page = 5000
	s := setup(b)
	s.opened("rows", 100_000)
	s.mustExec(`CREATE TABLE digits (d INT) SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
		UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9`)
	s.mustExec(`INSERT INTO coupons (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at)
		SELECT c.id, i.serial, CONCAT('user-', i.serial), 1, 1, '', '2026-12-01', '2026-12-01' FROM campaigns c JOIN (SELECT
		1 + v.d + 10 * w.d + 100 * x.d + 1000 * y.d + 10000 * z.d AS serial
		FROM digits v, digits w, digits x, digits y, digits z) i`)
	after, rows := int64(0), 0
	b.ReportAllocs()
	for b.Loop() {
		claims, err := s.IssuedClaims(b.Context(), "rows", after, page)
		require.NoError(b, err)
		require.Len(b, claims, page)
		after = claims[page-1].Serial % 100_000
		rows += page
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
