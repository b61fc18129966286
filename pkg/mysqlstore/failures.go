package mysqlstore

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Failure returns where the live failed event of a key stands (pending, leased or parked), and false when there is none.
func (s *Store) Failure(ctx context.Context, key coupon.Key) (coupon.FailureStatus, bool, error) {
	var row failureRow
	found, err := s.read(ctx, "read failed event", &row, `SELECT f.id, f.status, f.carried FROM failed_events f
		JOIN campaigns c ON c.id = f.campaign_id
		WHERE c.slug = ? AND f.user_id = ? AND f.n = ? AND f.status IN `+liveFailure+` ORDER BY f.status LIMIT 1`,
		key.Campaign, key.User, key.N)
	return row.Status, found > 0, err
}

// FailuresOf returns where the live failed events of keys of one campaign stand, as Failure does. A key without one is absent.
func (s *Store) FailuresOf(
	ctx context.Context, campaign string, keys []coupon.Key,
) (map[coupon.Key]coupon.FailureStatus, error) {
	live, err := liveFailures(s.db.WithContext(ctx), campaign, usersOf(keys))
	if err != nil {
		return nil, storeError("read failed events of many", err)
	}
	statuses := make(map[coupon.Key]coupon.FailureStatus, len(live))
	for _, key := range keys {
		if status, ok := live[owner{User: key.User, N: key.N}]; ok {
			statuses[key] = status
		}
	}
	return statuses, nil
}

const selectLiveFailures = `SELECT f.user_id, f.n, f.status FROM campaigns c
	JOIN failed_events f FORCE INDEX (failed_events_claim) ON f.campaign_id = c.id
	WHERE c.slug = ? AND f.n IS NOT NULL AND f.status IN ` + liveFailure + ` AND f.user_id IN `

// liveFailures reads where the live failed events of users stand. Of several of one (user, n) the least hopeless counts.
func liveFailures(db *gorm.DB, campaign string, users []string) (map[owner]coupon.FailureStatus, error) {
	live := map[owner]coupon.FailureStatus{}
	args := userArgs(campaign, users)
	if len(args) == 1 {
		return live, nil
	}
	rows, err := db.Raw(selectLiveFailures+tuples(1, len(args)-1), args...).Rows()
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var who owner
		var status coupon.FailureStatus
		if err := rows.Scan(&who.User, &who.N, &status); err != nil {
			return nil, err
		}
		if live[who] == "" || live[who] == coupon.FailureParked {
			live[who] = status
		}
	}
	return live, rows.Err()
}

// Park keeps events as failed events, in one statement that does not touch their campaigns' rows: a stuck campaign cannot
// keep it waiting. An event whose key is there already stays as it is. An empty EventKey means the claim's, an empty
// Status pending, a zero NextAttemptAt now.
func (s *Store) Park(ctx context.Context, events []coupon.FailedEvent) error {
	if len(events) == 0 {
		return nil
	}
	ids, err := s.campaignIDs(ctx, events)
	if err != nil {
		return err
	}
	now := s.now()
	rows := make([]failedRow, len(events))
	for i, e := range events {
		if e.EventKey == "" {
			e.EventKey = e.Claim.EventKey()
		}
		if e.Status == "" {
			e.Status = coupon.FailurePending
		}
		rows[i] = newFailedRow(ids[campaignOf(e)], e, now)
	}
	return storeError("keep failed events", insertFailures(s.db.WithContext(ctx), rows))
}

func campaignOf(e coupon.FailedEvent) string {
	if e.Campaign != "" {
		return e.Campaign
	}
	return e.Claim.Campaign
}

func (s *Store) campaignIDs(ctx context.Context, events []coupon.FailedEvent) (map[string]int64, error) {
	slugs := map[string]bool{}
	for _, e := range events {
		if slug := campaignOf(e); coupon.ValidCampaignID(slug) {
			slugs[slug] = true
		}
	}
	if len(slugs) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(slugs))
	for slug := range slugs {
		names = append(names, slug)
	}
	var rows []struct {
		ID   int64
		Slug string
	}
	if _, err := s.read(ctx, "read campaign ids", &rows, "SELECT id, slug FROM campaigns WHERE slug IN ?", names); err != nil {
		return nil, err
	}
	ids := make(map[string]int64, len(rows))
	for _, row := range rows {
		ids[row.Slug] = row.ID
	}
	return ids, nil
}

// TakeFailures takes up to limit due failed events, the longest due first, and returns them. No two calls get the same
// event while its lease lasts; an event that is neither postponed nor issued by then is due again. token names the call:
// PostponeFailure asks for it.
func (s *Store) TakeFailures(ctx context.Context, token string, limit int, lease time.Duration) ([]coupon.FailedEvent, error) {
	now := s.now().UTC().Truncate(time.Microsecond)
	until := now.Add(lease).Truncate(time.Microsecond)
	// A lease's end is kept in next_attempt_at, so that one index finds both what is due and what was left behind.
	if err := s.endLeases(ctx, now, limit); err != nil {
		return nil, err
	}
	// The index is forced: left to itself a server walks the table when most rows are due, in another order than the one
	// that walks the index, and the two deadlock.
	taken, err := s.exec(ctx, "take failed events", `UPDATE failed_events FORCE INDEX (failed_events_due)
		SET status = 'leased', lease_token = ?, lease_until = ?, next_attempt_at = ?, updated_at = ?
		WHERE status = 'pending' AND next_attempt_at <= ? ORDER BY next_attempt_at, id LIMIT ?`,
		token, until, until, now, now, limit)
	if err != nil || taken == 0 {
		return nil, err
	}
	return s.leased(ctx, token, until)
}

// endLeases makes events that were taken and left behind due again. It reads without locks and updates by id, as those do
// who still work on theirs: an UPDATE that walks the index of due times would lock in the other order and deadlock.
func (s *Store) endLeases(ctx context.Context, now time.Time, limit int) error {
	var ids []int64
	found, err := s.read(ctx, "find ended leases", &ids, `SELECT id FROM failed_events
		WHERE status = 'leased' AND next_attempt_at <= ? ORDER BY next_attempt_at, id LIMIT ?`, now, limit)
	if err != nil || found == 0 {
		return err
	}
	_, err = s.exec(ctx, "end leases", `UPDATE failed_events SET status = 'pending', lease_token = NULL, lease_until = NULL
		WHERE id IN ? AND status = 'leased' AND next_attempt_at <= ?`, ids, now)
	return err
}

type failedEventRow struct {
	ID            int64
	EventKey      string
	Slug          *string
	Epoch         int64
	Carried       bool
	UserID        *string
	N             *int
	Serial        *int64
	ClaimedAt     *time.Time
	Payload       []byte
	Reason        coupon.FailureReason
	Error         string
	Status        coupon.FailureStatus
	Attempts      int
	NextAttemptAt time.Time
	CreatedAt     time.Time
}

func (s *Store) leased(ctx context.Context, token string, until time.Time) ([]coupon.FailedEvent, error) {
	var rows []failedEventRow
	_, err := s.read(ctx, "read taken failed events", &rows, `SELECT f.id, f.event_key, c.slug, f.epoch, f.carried, f.user_id,
		f.n, f.serial, f.claimed_at, f.payload, f.reason, f.error, f.status, f.attempts, f.next_attempt_at, f.created_at
		FROM failed_events f LEFT JOIN campaigns c ON c.id = f.campaign_id
		WHERE f.status = 'leased' AND f.next_attempt_at = ? AND f.lease_token = ? ORDER BY f.id`, until, token)
	if err != nil {
		return nil, err
	}
	events := make([]coupon.FailedEvent, len(rows))
	for i := range rows {
		events[i] = rows[i].event()
	}
	return events, nil
}

func (r *failedEventRow) event() coupon.FailedEvent {
	campaign := value(r.Slug)
	return coupon.FailedEvent{
		ID: r.ID, EventKey: r.EventKey, Campaign: campaign, Epoch: r.Epoch, Carried: r.Carried,
		Claim: coupon.Claim{
			Key:   coupon.Key{Campaign: campaign, User: value(r.UserID), N: value(r.N)},
			Epoch: r.Epoch, Serial: value(r.Serial), ClaimedAt: value(r.ClaimedAt),
		},
		Payload: r.Payload, Reason: r.Reason, Error: r.Error, Status: r.Status, Attempts: r.Attempts,
		NextAttemptAt: r.NextAttemptAt, CreatedAt: r.CreatedAt,
	}
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// PostponeFailure gives a taken failed event back: due again at due, or parked for an operator. It does nothing when the
// lease under token has ended and somebody else has the event.
func (s *Store) PostponeFailure(
	ctx context.Context, id int64, token string, attempts int, due time.Time, parked bool, cause string,
) error {
	status := coupon.FailurePending
	if parked {
		status = coupon.FailureParked
	}
	_, err := s.exec(ctx, "postpone failed event", `UPDATE failed_events SET status = ?, attempts = ?, next_attempt_at = ?,
		error = ?, lease_token = NULL, lease_until = NULL, updated_at = ?
		WHERE id = ? AND status = 'leased' AND lease_token = ?`,
		status, attempts, due, storableText(cause), s.now(), id, token)
	return err
}
