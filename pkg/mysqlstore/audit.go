package mysqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Each read of an audit has a bound, so that it costs the same however long the system has been running.
const (
	auditedEvents = 10_000 // failed events counted of each status
	auditedBroken = 1_000  // failed events of each status, the newest, that are searched for broken promises
	auditedRuns   = 10_000 // batch runs, the newest
)

// FailureCounts are the failed events that are neither done nor discarded.
type FailureCounts struct {
	ByStatus map[coupon.FailureStatus]int64 // at most 10,000 of each: as many, or more
	Waiting  time.Time                      // since when the oldest has waited that batch is to retry; zero without one
}

var auditedStatuses = []coupon.FailureStatus{
	coupon.FailurePending, coupon.FailureLeased, coupon.FailureParked, coupon.FailureDead,
}

// CountFailures counts the failed events of all campaigns. Of more than 10,000 that wait the oldest is one of the longest
// due.
func (s *Store) CountFailures(ctx context.Context) (FailureCounts, error) {
	counts := make([]string, len(auditedStatuses))
	for i, status := range auditedStatuses {
		counts[i] = fmt.Sprintf(`SELECT '%s' AS status, COUNT(*) AS events, MIN(id) AS oldest FROM (
			SELECT id FROM failed_events FORCE INDEX (failed_events_due) WHERE status = '%[1]s'
			ORDER BY next_attempt_at, id LIMIT %d) %[1]s_events`, status, auditedEvents)
	}
	var rows []struct {
		Status    coupon.FailureStatus
		Events    int64
		CreatedAt *time.Time
	}
	_, err := s.read(ctx, "count failed events", &rows, `SELECT counted.status, counted.events, f.created_at
		FROM (`+strings.Join(counts, " UNION ALL ")+`) counted LEFT JOIN failed_events f ON f.id = counted.oldest`)
	found := FailureCounts{ByStatus: make(map[coupon.FailureStatus]int64, len(rows))}
	for _, row := range rows {
		found.ByStatus[row.Status] = row.Events
		retried := row.Status == coupon.FailurePending || row.Status == coupon.FailureLeased
		if retried && row.CreatedAt != nil && (found.Waiting.IsZero() || row.CreatedAt.Before(found.Waiting)) {
			found.Waiting = *row.CreatedAt
		}
	}
	return found, err
}

// BrokenPromises returns claims that may have been promised, have no row, and cannot have the one they were promised: MySQL
// refused it for want of a place or because another has its serial, or they are dead although their event was sound. They
// are of the newest failed events; what was mended is absent.
func (s *Store) BrokenPromises(ctx context.Context) ([]coupon.Claim, error) {
	newest := make([]string, len(auditedStatuses))
	for i, status := range auditedStatuses {
		newest[i] = fmt.Sprintf(`(SELECT id FROM failed_events FORCE INDEX (failed_events_due) WHERE status = '%s'
			ORDER BY next_attempt_at DESC, id DESC LIMIT %d)`, status, auditedBroken)
	}
	var rows []struct {
		Slug, UserID  string
		N             int
		Epoch, Serial int64
	}
	_, err := s.read(ctx, "find broken promises", &rows, `SELECT DISTINCT c.slug, f.user_id, f.n, f.epoch, f.serial
		FROM (`+strings.Join(newest, " UNION ALL ")+`) newest JOIN failed_events f ON f.id = newest.id
		JOIN campaigns c ON c.id = f.campaign_id
		WHERE f.user_id IS NOT NULL AND f.n IS NOT NULL AND f.serial IS NOT NULL AND f.reason IN ?
		AND NOT EXISTS (SELECT 1 FROM coupons o WHERE o.campaign_id = f.campaign_id AND o.user_id = f.user_id AND o.n = f.n)`,
		[]coupon.FailureReason{coupon.ReasonLimitReached, coupon.ReasonSerialTaken, coupon.ReasonBadRow, coupon.ReasonPanic})
	claims := make([]coupon.Claim, len(rows))
	for i, row := range rows {
		claims[i] = coupon.Claim{
			Key: coupon.Key{Campaign: row.Slug, User: row.UserID, N: row.N}, Epoch: row.Epoch, Serial: row.Serial,
		}
	}
	return claims, err
}

// Oversold returns how many coupons of a campaign hold a place beyond its limit: of its rows, not of the number that issue()
// keeps of them. It counts them all in one index, some 0.2 s for a million. 0 when there is no such campaign.
func (s *Store) Oversold(ctx context.Context, campaign string) (int64, error) {
	var over int64
	_, err := s.read(ctx, "count places", &over, `SELECT GREATEST(0, CAST(
		(SELECT COUNT(*) FROM coupons p FORCE INDEX (coupons_one_each) WHERE p.campaign_id = c.id) AS SIGNED) - CAST(
		(SELECT COUNT(*) FROM stock_ledger l WHERE l.campaign_id = c.id AND l.kind = 'return' AND l.ref LIKE 'coupon:%') AS SIGNED)
		- CAST(c.limit_count AS SIGNED)) FROM campaigns c WHERE c.slug = ?`, campaign)
	return over, err
}

// LastSuccesses returns when each job of batch was last done with success. Of the last 10,000 runs: a job that has none among
// them is absent, one whose runs all failed has the zero time.
func (s *Store) LastSuccesses(ctx context.Context) (map[string]time.Time, error) {
	var rows []struct {
		Job  string
		Last *time.Time
	}
	_, err := s.read(ctx, "read batch runs", &rows, `SELECT job, MAX(CASE WHEN ok = 1 THEN finished_at END) AS last
		FROM batch_runs WHERE id > (SELECT IF(MAX(id) > ?, MAX(id) - ?, 0) FROM batch_runs) GROUP BY job`, auditedRuns, auditedRuns)
	last := make(map[string]time.Time, len(rows))
	for _, row := range rows {
		last[row.Job] = value(row.Last)
	}
	return last, err
}

// lostClaims are what the report of reconcile counts as granted, and in no store but Redis now.
const lostClaims = `JSON_EXTRACT(summary, '$.result.campaigns[*].claims.wrong.no_row',
	'$.result.campaigns[*].claims.wrong.row_gone', '$.result.campaigns[*].claims.wrong.event_gone')`

// LostClaims returns how many claims the last run of reconcile that came to its end has found lost.
func (s *Store) LostClaims(ctx context.Context) (int64, error) {
	var counts *string
	_, err := s.read(ctx, "read the last reconciliation", &counts, `SELECT `+lostClaims+` FROM batch_runs
		WHERE job = 'reconcile' AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1`)
	if err != nil || counts == nil {
		return 0, err
	}
	var each []int64
	if err := json.Unmarshal([]byte(*counts), &each); err != nil {
		return 0, fmt.Errorf("read the last reconciliation: %w", err)
	}
	lost := int64(0)
	for _, n := range each {
		lost += n
	}
	return lost, nil
}
