package mysqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Issue against the least a database must do for the same rows: one multi-row INSERT a transaction, into a table of the
// same shape, turn by turn in one run. "ratio" is Issue's speed as a part of the plain INSERT's.
func BenchmarkIssue(b *testing.B) {
	for _, size := range []int{128, 500} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkIssue(b, size) })
	}
}

func benchmarkIssue(b *testing.B, size int) {
	s := setup(b)
	s.opened("bench", 100_000_000)
	s.mustExec("CREATE TABLE plain LIKE coupons")
	var issuing, plain time.Duration
	serial := int64(0)
	for b.Loop() {
		batch := make([]coupon.Delivery, size)
		for i := range batch {
			serial++
			batch[i] = delivery(claimOf("bench", fmt.Sprintf("user-%08d", serial*2654435761%100_000_000), 1, 1, serial))
		}
		args := plainArgs(b, batch)

		began := time.Now()
		_, err := s.Issue(b.Context(), "bench", batch)
		issuing += time.Since(began)
		require.NoError(b, err)

		began = time.Now()
		s.plainInsert(size, args)
		plain += time.Since(began)
	}
	require.EqualValues(b, b.N*size, s.totals("bench").Issued)
	rows := float64(b.N * size)
	b.ReportMetric(rows/issuing.Seconds(), "issued/s")
	b.ReportMetric(rows/plain.Seconds(), "plain/s")
	b.ReportMetric(plain.Seconds()/issuing.Seconds(), "ratio")
}

// Direct in mode sql against the same plain INSERT: what a campaign grants while Redis is away, one batch after another.
func BenchmarkDirect(b *testing.B) {
	const size = 128
	s := setup(b)
	epoch := s.sells("bench", 100_000_000).Epoch
	s.mustExec("CREATE TABLE plain LIKE coupons")
	var granting, plain time.Duration
	serial := int64(0)
	for b.Loop() {
		wishes := make([]coupon.Claim, size)
		batch := make([]coupon.Delivery, size)
		for i := range wishes {
			serial++
			user := fmt.Sprintf("user-%08d", serial*2654435761%100_000_000)
			wishes[i], batch[i] = wish("bench", user, 1), delivery(claimOf("bench", user, 1, 1, serial))
		}
		args := plainArgs(b, batch)

		began := time.Now()
		_, err := s.Direct(b.Context(), "bench", epoch, wishes)
		granting += time.Since(began)
		require.NoError(b, err)

		began = time.Now()
		s.plainInsert(size, args)
		plain += time.Since(began)
	}
	require.EqualValues(b, b.N*size, s.totals("bench").Issued)
	rows := float64(b.N * size)
	b.ReportMetric(rows/granting.Seconds(), "grants/s")
	b.ReportMetric(rows/plain.Seconds(), "plain/s")
	b.ReportMetric(plain.Seconds()/granting.Seconds(), "ratio")
}

func plainArgs(b *testing.B, batch []coupon.Delivery) []any {
	b.Helper()
	var args []any
	for i, d := range batch {
		code := fmt.Sprintf("%019d", d.Claim.Serial*7919+int64(i))
		args = append(args, 1, d.Claim.Serial, d.Claim.User, d.Claim.N, d.Claim.Epoch, code, d.Claim.ClaimedAt, noon, nil)
	}
	return args
}

func (b *bundle) plainInsert(rows int, args []any) {
	b.tb.Helper()
	const into = "INSERT INTO plain (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at, expires_at) VALUES "
	tx, err := b.DB().BeginTx(b.tb.Context(), nil)
	require.NoError(b.tb, err)
	_, err = tx.Exec(into+tuples(rows, 9), args...)
	require.NoError(b.tb, err)
	require.NoError(b.tb, tx.Commit())
}

// BenchmarkView is what every server reads each second when a thousand campaigns are open.
func BenchmarkView(b *testing.B) {
	const campaigns = 1000
	s := setup(b)
	for i := range campaigns {
		s.opened(fmt.Sprintf("bench-%d", i), 100)
	}
	b.ReportAllocs()
	for b.Loop() {
		view, err := s.View(b.Context())
		require.NoError(b, err)
		require.Len(b, view, campaigns)
	}
}
