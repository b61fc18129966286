package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

const (
	// outage is how long a store is away.
	outage = 10 * time.Second
	// bounded is far above every deadline of an apply: an answer that takes longer hangs.
	bounded = 5 * time.Second
)

// TestDatabaseOutage stops the database for 10 s in the middle of a drop. Applies go on, nothing is lost, and the outage
// makes no failed event.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel() // it waits more than it works
	const limit, people = 1200, 3000
	database, stores := newPrivateStore(t, "mysql", sharedStores(t))
	s := newSite(t, programs(t), stores)
	server := s.apiServer()
	s.consumer("ISSUE_RATE=200", "ISSUE_BATCH=20") // slow enough to be at work when the database goes
	campaign := s.campaign(limit, 1, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 8, server)
	users := drop.Users(people)

	var drops errgroup.Group
	drops.Go(func() error { return crowd.Run(t.Context(), drop.Plan(users[:1000], 1000, 7)) })
	await(t, "some rows", func() bool { return s.rows(campaign) >= 40 })
	require.Less(t, s.rows(campaign), 1000, "stopped too late to prove anything")
	database.stop()
	stopped := time.Now()
	require.NoError(t, drops.Wait())
	before := len(journal.Answers())
	for from := 1000; time.Since(stopped) < outage; from = min(from+10, people-10) {
		require.NoError(t, crowd.Run(t.Context(), drop.Plan(users[from:from+10], 20, 8)))
	}
	during := journal.Answers()[before:]
	database.start()
	s.rest(campaign, taken(journal)) // before anybody comes back
	require.NoError(t, crowd.Run(t.Context(), drop.Plan(users, people, 9)))
	s.settle(crowd, journal)

	requireTakenWithout(t, during)
	requireBounded(t, journal.Answers())
	s.requireAllServed(campaign, limit, journal)
	require.Zero(t, s.number(`SELECT COUNT(*) FROM failed_events WHERE campaign_id IS NOT NULL`))
}

// taken counts the claims that somebody was told of, promised or pending.
func taken(journal *drop.Journal) int {
	claims := map[drop.Apply]bool{}
	for _, a := range journal.Answers() {
		if a.HTTP == http.StatusAccepted || a.HTTP == http.StatusOK {
			claims[drop.Apply{User: a.User, N: a.N}] = true
		}
	}
	return len(claims)
}

// requireTakenWithout checks what users are told while the database is away: their place is taken and not yet a promise,
// or all are gone. A call to Redis may be too slow on a busy machine, but not often.
func requireTakenWithout(t *testing.T, answers []drop.Answer) {
	t.Helper()
	taken, slow := 0, 0
	for _, a := range answers {
		switch {
		case a.HTTP == http.StatusServiceUnavailable && a.Code == coupon.CodeUnavailable:
			slow++
		case a.HTTP == http.StatusAccepted || a.HTTP == http.StatusOK:
			require.Equal(t, coupon.StatusPending, a.Status, "%+v", a)
			taken++
		default:
			require.Equal(t, coupon.CodeSoldOut, a.Code, "%+v", a)
		}
	}
	require.Greater(t, taken, 50)
	require.LessOrEqual(t, slow, len(answers)/20)
}

func requireBounded(t *testing.T, answers []drop.Answer) {
	t.Helper()
	for _, a := range answers {
		require.Less(t, a.Received.Sub(a.Sent), bounded, "%+v", a)
		require.Empty(t, a.Fault, "%+v", a) // a 503 without Retry-After is one
	}
}

// TestRedisAway loses every answer of Redis, and then refuses every connection to it, for the api-server alone: the warden
// has no reason to fence. Applies are refused at once and may be repeated; what was granted without anybody learning of it
// becomes a row all the same.
func TestRedisAway(t *testing.T) {
	const limit, people = 300, 200
	stores := sharedStores(t)
	redis, throughProxy := newProxy(t, stores.Redis)
	s := newSite(t, programs(t), stores)
	server := s.apiServer("REDIS_URL=" + throughProxy)
	s.consumer()
	campaign := s.campaign(limit, 1, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 8, server)
	once := drop.NewCrowd(drop.Options{Servers: []string{server.URL}, Campaign: campaign, Connections: 8}, journal)
	t.Cleanup(once.Close)
	users := drop.Users(people)

	require.NoError(t, crowd.Run(t.Context(), drop.Plan(users[:50], 50, 10)))
	for phase, away := range []road{oneWay, closed} { // in this order: a fresh connection must hear an answer before it asks
		redis.set(t, away)
		before := len(journal.Answers())
		require.NoError(t, once.Run(t.Context(), drop.Plan(users[50+50*phase:100+50*phase], 50, 11)))
		for _, a := range journal.Answers()[before:] {
			require.Equal(t, http.StatusServiceUnavailable, a.HTTP, "%+v", a)
			require.Equal(t, coupon.CodeUnavailable, a.Code, "%+v", a)
		}
		redis.set(t, open)
		await(t, "Redis is back", func() bool {
			answer, err := once.Apply(t.Context(), drop.Apply{User: users[0], N: 1})
			require.NoError(t, err)
			return answer.Binding()
		})
	}
	s.awaitUnasked(server, campaign)
	require.NoError(t, crowd.Run(t.Context(), drop.Plan(users, people, 12)))
	s.settle(crowd, journal)
	requireBounded(t, journal.Answers())
	s.requireAllServed(campaign, people, journal)
	require.Equal(t, 1, s.stands(campaign).epoch)
}

// awaitUnasked waits until every claim is a row, those of users too who never learnt of theirs and did not come back.
func (s *site) awaitUnasked(server *procs.APIServer, campaign string) {
	s.tb.Helper()
	const told = 50 // before Redis was away
	await(s.tb, "claims that nobody was told of are rows", func() bool {
		status, body := s.get(server.Admin + "/admin/v1/campaigns/" + campaign + "/stats")
		require.Equal(s.tb, http.StatusOK, status, body)
		return field(s.tb, body, "claimed") == field(s.tb, body, "issued") && field(s.tb, body, "pending") == "0" && s.rows(campaign) > told
	})
}

// TestKafkaAway freezes the broker, and then stops it. The api-server makes the rows itself, without the log, and what it
// cannot make in time becomes one once the broker is back.
func TestKafkaAway(t *testing.T) {
	t.Parallel() // it waits more than it works
	const limit, people = 300, 240
	broker, stores := newPrivateStore(t, "kafka", sharedStores(t))
	s := newSite(t, programs(t), stores)
	server := s.apiServer()
	s.consumer()
	campaign := s.campaign(limit, 1, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 30, server)
	users := drop.Users(people)
	without := func(users []string) {
		before := len(journal.Answers())
		require.NoError(t, crowd.Run(t.Context(), drop.Plan(users, 2*len(users), 13)))
		s.requireIssuedWithout(campaign, journal.Answers()[before:], len(users))
	}

	require.NoError(t, crowd.Run(t.Context(), drop.Plan(users[:60], 60, 14)))
	broker.freeze()
	without(users[60:120])
	broker.thaw()
	s.rest(campaign, 120) // before anybody comes back
	broker.stop()
	without(users[120:180])
	broker.start()
	s.rest(campaign, 180)
	require.NoError(t, crowd.Run(t.Context(), drop.Plan(users[180:], 60, 15)))
	s.settle(crowd, journal)
	requireBounded(t, journal.Answers())
	s.requireAllServed(campaign, people, journal)
}

// requireIssuedWithout checks what users are told while the log is away: they have a row, and it is there. A repeat may
// name the promise by the word of the usual way. A row may take too long on a busy machine, but not often.
func (s *site) requireIssuedWithout(campaign string, answers []drop.Answer, users int) {
	s.tb.Helper()
	serials := s.owners(campaign)
	issued := map[string]bool{}
	for _, a := range answers {
		switch {
		case a.HTTP == http.StatusServiceUnavailable: // Redis was slow: tried again
		case a.Binding():
			require.True(s.tb, a.Status == coupon.StatusIssued || a.Replayed, "%+v", a)
			require.Equal(s.tb, serials[a.User], a.Serial, "%+v", a)
			issued[a.User] = true
		default:
			require.Equal(s.tb, coupon.StatusPending, a.Status, "%+v", a)
		}
	}
	require.GreaterOrEqual(s.tb, len(issued), users*3/4)
}
