package e2e

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/tools/drop"
)

// TestRetryFailed holds a campaign's row for longer than the consumer waits for one. Its claims become failed events,
// the other campaign does not wait for them, and once the row is free `batch retry-failed` makes rows of all.
func TestRetryFailed(t *testing.T) {
	t.Parallel() // it waits more than it works
	const people = 50
	s := newSite(t, programs(t), sharedStores(t))
	server := s.apiServer()
	stuck, free := s.campaign(people, 1, server), s.campaign(2*people, 1, server)
	journals := map[string]*drop.Journal{stuck: s.journal(), free: s.journal()}
	apply := func(campaign string, users []string) {
		crowd := s.crowd(journals[campaign], campaign, 8, server)
		require.NoError(t, crowd.Run(t.Context(), drop.Plan(users, len(users), 6)))
		s.settle(crowd, journals[campaign])
	}
	users := drop.Users(2 * people)
	apply(stuck, users[:people])
	apply(free, users[:people])

	lock := s.lock(stuck)
	s.consumer()
	await(t, "the stuck campaign's failed events", func() bool { return s.exhausted(stuck) == people })
	await(t, "the other campaign's rows", func() bool { return s.rows(free) == people })
	apply(free, users[people:])
	await(t, "the partitions go on", func() bool { return s.rows(free) == 2*people })
	require.Zero(t, s.rows(stuck))
	require.NoError(t, lock.Rollback())

	output := s.batch("retry-failed")
	require.Contains(t, output, fmt.Sprintf("issued %d", people))
	require.Zero(t, s.exhausted(stuck))
	for campaign, rows := range map[string]int{stuck: people, free: 2 * people} {
		s.rest(campaign, rows)
		s.verdict(campaign, journals[campaign])
	}
	s.batch("reconcile", "--wait", "30s")
}

// TestFailedEventsAtAFenceBecomeRows rebuilds a campaign whose claims are all failed events. Their places are kept, their
// users are told that it takes longer, and once they are retried each has a row with the serial it had from the first.
func TestFailedEventsAtAFenceBecomeRows(t *testing.T) {
	t.Parallel() // it waits more than it works
	const limit, people, failed = 80, 100, 40
	s := newSite(t, programs(t), sharedStores(t))
	server := s.apiServer()
	campaign := s.campaign(limit, 1, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 8, server)
	users := drop.Users(people)
	apply := func(users []string) { require.NoError(t, crowd.Run(t.Context(), drop.Plan(users, len(users), 22))) }

	apply(users[:failed])
	s.settle(crowd, journal)
	lock := s.lock(campaign)
	s.consumer()
	await(t, "the failed events", func() bool { return s.exhausted(campaign) == failed })
	require.NoError(t, lock.Rollback())
	s.park(campaign, failed/2)

	s.batch("rebuild", campaign)
	require.Equal(t, failed, s.number(`SELECT COUNT(*) FROM failed_events WHERE carried = 1`))
	before := len(journal.Answers())
	apply(users[:failed])
	for _, answer := range journal.Answers()[before:] {
		require.False(t, answer.Binding(), "%+v", answer)
		require.Zero(t, answer.Serial, "%+v", answer)
	}
	apply(users[failed:])
	await(t, "all that is left is sold", func() bool { return s.rows(campaign) == limit-failed })

	require.Contains(t, s.batch("retry-failed"), fmt.Sprintf("issued %d", failed/2))
	s.unpark(campaign, failed/2)
	require.Contains(t, s.batch("retry-failed"), fmt.Sprintf("issued %d", failed/2))
	s.settle(crowd, journal)
	s.requireAllServed(campaign, limit, journal)
	require.Equal(t, failed, s.number(`SELECT COUNT(*) FROM coupons WHERE serial <= ?`, failed), "with the serials of the first epoch")
}

// park gives up the retries of some live failed events, as the twelfth one that fails does.
func (s *site) park(campaign string, count int) {
	s.tb.Helper()
	s.exec(count, `UPDATE failed_events SET status = 'parked', attempts = 12 WHERE status = 'pending'
		AND campaign_id = (SELECT id FROM campaigns WHERE slug = ?) ORDER BY id LIMIT ?`, campaign, count)
}

// unpark makes so many parked events due, as an operator does.
func (s *site) unpark(campaign string, count int) {
	s.tb.Helper()
	s.exec(count, `UPDATE failed_events SET status = 'pending', attempts = 0, next_attempt_at = UTC_TIMESTAMP(6)
		WHERE status = 'parked' AND campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`, campaign)
}

// exec changes so many rows of the database by hand.
func (s *site) exec(rows int, statement string, args ...any) {
	s.tb.Helper()
	result, err := s.db.ExecContext(s.tb.Context(), statement, args...)
	require.NoError(s.tb, err)
	changed, err := result.RowsAffected()
	require.NoError(s.tb, err)
	require.EqualValues(s.tb, rows, changed)
}

// lock holds the campaign's row until the transaction ends.
func (s *site) lock(campaign string) *sql.Tx {
	s.tb.Helper()
	tx, err := s.db.BeginTx(s.tb.Context(), nil)
	require.NoError(s.tb, err)
	s.tb.Cleanup(func() { _ = tx.Rollback() }) // does nothing when the test has
	var id int64
	require.NoError(s.tb, tx.QueryRowContext(s.tb.Context(), `SELECT id FROM campaigns WHERE slug = ? FOR UPDATE`, campaign).Scan(&id))
	return tx
}

// exhausted counts the live failed events of a campaign that the consumer gave up.
func (s *site) exhausted(campaign string) int {
	s.tb.Helper()
	return s.number(`SELECT COUNT(*) FROM failed_events WHERE status = 'pending' AND reason = ?
		AND campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`, coupon.ReasonTransientExhausted, campaign)
}
