package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/tools/drop"
)

// orderly is how long an orderly stop may take.
const orderly = 30 * time.Second

// TestKillConsumerMidDrop kills the only consumer in the middle of a transaction, and starts it again.
func TestKillConsumerMidDrop(t *testing.T) {
	t.Parallel() // it waits more than it works
	const limit, people = 500, 1500
	s := newSite(t, programs(t), sharedStores(t))
	server := s.apiServer()
	consumer := s.consumer("ISSUE_RATE=200", "ISSUE_BATCH=20") // slow enough to be killed at its work
	campaign := s.campaign(limit, 1, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 32, server)

	var drops errgroup.Group
	drops.Go(func() error { return crowd.Run(t.Context(), drop.Plan(drop.Users(people), people+500, 2)) })
	await(t, "some rows", func() bool { return s.rows(campaign) >= 40 })
	lock := s.lock(campaign)
	await(t, "a batch in hand", func() bool { return s.waiting() > 0 })
	require.Less(t, s.rows(campaign), limit, "killed too late to prove anything")
	require.NoError(t, consumer.Kill())
	require.NoError(t, lock.Rollback())
	require.NoError(t, drops.Wait())
	s.settle(crowd, journal)
	require.NoError(t, consumer.Restart(t.Context()))
	s.batch("sweep")

	s.requireAllServed(campaign, limit, journal)
}

// waiting counts the statements on this site's database that wait for a locked row.
func (s *site) waiting() int {
	s.tb.Helper()
	return s.number(`SELECT COUNT(*) FROM information_schema.processlist
		WHERE db = DATABASE() AND id <> CONNECTION_ID() AND command = 'Query' AND info LIKE '%FOR UPDATE%'`)
}

// TestKillAPIServerMidDrop kills one of two api-servers at work and starts it again. Who had no answer asks again.
func TestKillAPIServerMidDrop(t *testing.T) {
	const limit, people = 1000, 3000
	s := newSite(t, programs(t), sharedStores(t))
	victim, other := s.apiServer(), s.apiServer()
	s.consumer()
	campaign := s.campaign(limit, 1, victim, other)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 64, victim, other)

	var drops errgroup.Group
	drops.Go(func() error { return crowd.Run(t.Context(), drop.Plan(drop.Users(people), people+1000, 3)) })
	await(t, "some promises", func() bool { return journal.Tally().Granted >= 150 })
	require.NoError(t, victim.Kill())
	require.Less(t, journal.Tally().Granted, int64(limit), "killed too late to prove anything")
	await(t, "users without an answer", func() bool { return journal.Tally().Unknown > 0 })
	require.NoError(t, victim.Restart(t.Context()))
	require.NoError(t, drops.Wait())
	s.settle(crowd, journal)
	s.batch("sweep")

	s.requireAllServed(campaign, limit, journal)
}

// TestSIGTERMMidDrop stops one of two api-servers at work: it ends in order and carries its grants to their end.
func TestSIGTERMMidDrop(t *testing.T) {
	const limit, people = 1000, 3000
	s := newSite(t, programs(t), sharedStores(t))
	leaving, staying := s.apiServer(), s.apiServer()
	consumer := s.consumer()
	campaign := s.campaign(limit, 1, leaving, staying)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 64, leaving, staying)

	var drops errgroup.Group
	drops.Go(func() error { return crowd.Run(t.Context(), drop.Plan(drop.Users(people), people+1000, 4)) })
	await(t, "some promises", func() bool { return journal.Tally().Granted >= 150 })
	asked := time.Now()
	require.NoError(t, leaving.Stop(), "the exit code is 0")
	require.Less(t, time.Since(asked), orderly)
	require.NoError(t, consumer.Stop())
	require.NoError(t, consumer.Restart(t.Context()))
	require.NoError(t, drops.Wait())
	s.settle(crowd, journal)

	s.requireAllServed(campaign, limit, journal)
}

// requireAllServed waits for rest: as many rows as places, all that was promised among them, and nobody served twice.
func (s *site) requireAllServed(campaign string, limit int, journal *drop.Journal) {
	s.tb.Helper()
	s.rest(campaign, limit)
	s.verdict(campaign, journal)
	promised, _ := journal.Promises()
	require.EqualValues(s.tb, limit, promised, "everybody who has a row was told so")
	require.Len(s.tb, s.owners(campaign), limit)
	s.batch("reconcile", "--wait", "30s")
}
