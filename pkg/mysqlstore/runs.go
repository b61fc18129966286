package mysqlstore

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

type batchRun struct {
	ID        int64 `gorm:"primaryKey"`
	Job       string
	StartedAt time.Time
}

// TableName names the table.
func (batchRun) TableName() string { return "batch_runs" }

// StartRun records that a batch job began and returns the run's id.
func (s *Store) StartRun(ctx context.Context, job string) (int64, error) {
	run := batchRun{Job: job, StartedAt: s.now()}
	err := s.db.WithContext(ctx).Create(&run).Error
	return run.ID, storeError("start batch run", err)
}

// FinishRun records how a run ended; summary is JSON. A run that never finished was killed.
func (s *Store) FinishRun(ctx context.Context, id int64, ok bool, summary []byte) error {
	_, err := s.exec(ctx, "finish batch run", "UPDATE batch_runs SET finished_at = ?, ok = ?, summary = ? WHERE id = ?",
		s.now(), ok, string(summary), id)
	return err
}

// Totals counts a campaign's rows and failed events. Failed and OldestPending are of a later instant than the rest: at rest
// they agree. CodeCampaignNotFound when there is no such campaign.
func (s *Store) Totals(ctx context.Context, campaign string) (coupon.Totals, error) {
	var row struct {
		ID, Issued, LimitCount, Rows, Live int64
		LastClaimedAt                      *time.Time
	}
	found, err := s.read(ctx, "count coupons", &row, `SELECT c.id, c.issued, c.limit_count,
		(SELECT COUNT(*) FROM coupons p WHERE p.campaign_id = c.id) AS `+"`rows`"+`,
		(SELECT p.claimed_at FROM coupons p WHERE p.campaign_id = c.id ORDER BY p.serial DESC LIMIT 1) AS last_claimed_at,
		(`+countKept+keeping+` AND f.campaign_id = c.id) AS live FROM campaigns c WHERE c.slug = ?`, campaign)
	if err != nil {
		return coupon.Totals{}, err
	}
	if found == 0 {
		return coupon.Totals{}, coupon.NewError(coupon.CodeCampaignNotFound, campaign)
	}
	totals := coupon.Totals{
		Rows: row.Rows, Issued: row.Issued, Limit: row.LimitCount, LiveEvents: row.Live,
		LastClaimedAt: value(row.LastClaimedAt), Failed: map[coupon.FailureStatus]int64{},
	}
	return totals, s.countFailures(ctx, row.ID, &totals)
}

func (s *Store) countFailures(ctx context.Context, campaign int64, totals *coupon.Totals) error {
	var rows []struct {
		Status coupon.FailureStatus
		Events int64
		Oldest time.Time
	}
	_, err := s.read(ctx, "count failed events", &rows, `SELECT status, COUNT(*) AS events, MIN(created_at) AS oldest
		FROM failed_events WHERE campaign_id = ? GROUP BY status`, campaign)
	for _, row := range rows {
		totals.Failed[row.Status] = row.Events
		waiting := row.Status == coupon.FailurePending || row.Status == coupon.FailureLeased
		if waiting && (totals.OldestPending.IsZero() || row.Oldest.Before(totals.OldestPending)) {
			totals.OldestPending = row.Oldest
		}
	}
	return err
}
