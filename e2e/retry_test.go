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
