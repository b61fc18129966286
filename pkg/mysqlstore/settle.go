package mysqlstore

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/issue"
)

// settle writes what an Issue leaves besides rows: failed events of the fresh deliveries, and the end of those failed
// events that needed no further try. campaign is 0 when it is unknown.
func (s *Store) settle(tx *gorm.DB, campaign int64, deliveries []coupon.Delivery, results []coupon.Result) error {
	now := s.now()
	var kept []failedRow
	var done, gone []int64
	again := map[coupon.FailureReason][]int64{}
	for i, result := range results {
		d := &deliveries[i]
		switch {
		case d.FailedID == 0 && (result.Outcome == coupon.OutcomeParked || result.Outcome == coupon.OutcomeDead):
			kept = append(kept, keep(campaign, d, result, now))
		case d.FailedID == 0:
		case result.Outcome == coupon.OutcomeParked:
			again[result.Reason] = append(again[result.Reason], d.FailedID)
		case result.Outcome == coupon.OutcomeDead:
			gone = append(gone, d.FailedID)
		default:
			done = append(done, d.FailedID)
		}
	}
	if err := insertFailures(tx, kept); err != nil {
		return err
	}
	if err := renameFailures(tx, again, now); err != nil {
		return err
	}
	if err := endFailures(tx, done, now); err != nil {
		return err
	}
	return buryFailures(tx, gone, now)
}

func keep(campaign int64, d *coupon.Delivery, result coupon.Result, now time.Time) failedRow {
	event := coupon.FailedEvent{
		EventKey: d.Claim.EventKey(), Epoch: d.Claim.Epoch, Claim: d.Claim, Payload: d.Payload,
		Reason: result.Reason, Error: result.Err, Status: coupon.FailureParked,
	}
	if result.Outcome == coupon.OutcomeDead {
		event.EventKey, event.Status = deadKey(d), coupon.FailureDead
	}
	return newFailedRow(campaign, event, now)
}

// deadKey files a dead delivery under its place in the log, so that poison cannot occupy the key of a promise.
func deadKey(d *coupon.Delivery) string {
	if d.Position != "" {
		return d.Position
	}
	return "dead:" + d.Claim.EventKey()
}

// renameFailures writes why retried failed events did not become rows this time: reviveTaken goes by the newest reason.
func renameFailures(tx *gorm.DB, again map[coupon.FailureReason][]int64, now time.Time) error {
	for _, reason := range slices.Sorted(maps.Keys(again)) {
		err := tx.Exec("UPDATE failed_events SET reason = ?, updated_at = ? WHERE id IN ? AND status IN "+liveFailure,
			reason, now, again[reason]).Error
		if err != nil {
			return err
		}
	}
	return nil
}

func endFailures(tx *gorm.DB, ids []int64, now time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	return tx.Exec(`UPDATE failed_events SET status = 'done', lease_token = NULL, lease_until = NULL, updated_at = ?
		WHERE id IN ? AND status IN `+liveFailure, now, ids).Error
}

// buryFailures ends retried failed events that can never be rows, and frees the keys of the promises they claimed to be.
func buryFailures(tx *gorm.DB, ids []int64, now time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	return tx.Exec(`UPDATE failed_events SET status = 'dead', event_key = CONCAT('dead:', id), lease_token = NULL,
		lease_until = NULL, updated_at = ? WHERE id IN ? AND status IN `+liveFailure, now, ids).Error
}

// failedRow is a failed event on its way into the table; nil is NULL.
type failedRow struct {
	key  string
	args []any
}

const insertFailed = `INSERT INTO failed_events (event_key, campaign_id, epoch, carried, user_id, n, serial, claimed_at,
	payload, reason, error, status, attempts, next_attempt_at, created_at, updated_at) VALUES `

// newFailedRow keeps of the claim only what the columns can hold: the payload has the rest, and a failed event must never
// be refused by its own table.
func newFailedRow(campaign int64, e coupon.FailedEvent, now time.Time) failedRow {
	args := []any{
		e.EventKey, nil, max(cmp.Or(e.Epoch, e.Claim.Epoch), 0), e.Carried, nil, nil, nil, nil,
		append([]byte{}, e.Payload...), string(e.Reason), storableText(e.Error), string(e.Status), e.Attempts,
		e.NextAttemptAt, e.CreatedAt, now,
	}
	if campaign != 0 {
		args[1] = campaign
	}
	if coupon.ValidUserID(e.Claim.User) {
		args[4] = e.Claim.User
	}
	if e.Claim.N >= 1 {
		args[5] = e.Claim.N
	}
	if e.Claim.Serial >= 1 {
		args[6] = e.Claim.Serial
	}
	if !e.Claim.ClaimedAt.IsZero() && issue.StorableTime(e.Claim.ClaimedAt) {
		args[7] = e.Claim.ClaimedAt
	}
	if e.NextAttemptAt.IsZero() {
		args[13] = now
	}
	if e.CreatedAt.IsZero() {
		args[14] = now
	}
	return failedRow{e.EventKey, args}
}

// insertFailures inserts rows that are not there yet. A key that is taken says that the event was kept before: by an
// earlier delivery, or in this very moment by another consumer.
func insertFailures(tx *gorm.DB, rows []failedRow) error {
	rows = uniqueByKey(rows)
	for len(rows) > 0 {
		args := make([]any, 0, len(rows)*len(rows[0].args))
		for _, row := range rows {
			args = append(args, row.args...)
		}
		err := tx.Exec(insertFailed+tuples(len(rows), len(rows[0].args)), args...).Error
		if !isDuplicateKey(err) {
			return err
		}
		rest, learning := missing(tx, rows)
		if learning != nil {
			return learning
		}
		if len(rest) == len(rows) {
			return err
		}
		rows = rest
	}
	return nil
}

func uniqueByKey(rows []failedRow) []failedRow {
	seen := make(map[string]bool, len(rows))
	var unique []failedRow
	for _, row := range rows {
		if !seen[row.key] {
			seen[row.key] = true
			unique = append(unique, row)
		}
	}
	return unique
}

func missing(tx *gorm.DB, rows []failedRow) ([]failedRow, error) {
	keys := make([]string, len(rows))
	for i, row := range rows {
		keys[i] = row.key
	}
	var present []string
	if err := tx.Raw("SELECT event_key FROM failed_events WHERE event_key IN ?", keys).Scan(&present).Error; err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(present))
	for _, key := range present {
		known[key] = true
	}
	var rest []failedRow
	for _, row := range rows {
		if !known[row.key] {
			rest = append(rest, row)
		}
	}
	return rest, nil
}

// storableText cuts words to what the column holds.
func storableText(s string) string {
	const longest = 500
	runes := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	return string(runes[:min(len(runes), longest)])
}
