package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/tools/drop"
)

// TestPipelineExact sends ten times the stock through two api-servers at once, every user twice, and finds exactly the
// stock in the database.
func TestPipelineExact(t *testing.T) {
	const limit, people = 500, 5000
	s := newSite(t, programs(t), sharedStores(t))
	one, two := s.apiServer(), s.apiServer()
	s.consumer()
	s.consumer()
	campaign := s.campaign(limit, 1, one, two)
	journal := s.journal()

	plan := drop.Plan(drop.Users(people), people, 1)
	left, right := s.crowd(journal, campaign, 100, one), s.crowd(journal, campaign, 100, two)
	var crowds errgroup.Group
	crowds.Go(func() error { return left.Run(t.Context(), plan) })
	crowds.Go(func() error { return right.Run(t.Context(), plan) })
	require.NoError(t, crowds.Wait())
	s.settle(left, journal)
	s.rest(campaign, limit)

	serials := s.owners(campaign)
	require.Len(t, serials, limit)
	for i, serial := range slices.Sorted(maps.Values(serials)) {
		require.EqualValues(t, i+1, serial, "the serials have a gap")
	}
	s.requireTold(journal, serials, people)
	s.verdict(campaign, journal)
	s.requireIssued(one.URL, campaign, serials)
	s.batch("reconcile", "--wait", "30s")
}

// owners returns who has which serial. A user who had two would fail the test.
func (s *site) owners(campaign string) map[string]int64 {
	s.tb.Helper()
	rows, err := s.db.QueryContext(s.tb.Context(),
		`SELECT user_id, serial FROM coupons WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`, campaign)
	require.NoError(s.tb, err)
	defer func() { _ = rows.Close() }()
	owners := map[string]int64{}
	for rows.Next() {
		var user string
		var serial int64
		require.NoError(s.tb, rows.Scan(&user, &serial))
		_, twice := owners[user]
		require.False(s.tb, twice, "%s has two", user)
		owners[user] = serial
	}
	require.NoError(s.tb, rows.Err())
	return owners
}

// requireTold checks what every user was told against the rows: an owner has one 202 and for the rest 200 with the same
// serial, everybody else "sold out".
func (s *site) requireTold(journal *drop.Journal, serials map[string]int64, people int) {
	s.tb.Helper()
	byUser := map[string][]drop.Answer{}
	for _, answer := range journal.Answers() {
		byUser[answer.User] = append(byUser[answer.User], answer)
	}
	require.Len(s.tb, byUser, people)
	for user, answers := range byUser {
		firsts, unclear := 0, false
		for _, answer := range answers {
			switch answer.HTTP {
			case 0, http.StatusServiceUnavailable:
				unclear = true // the place may have been taken without the user learning of it
			case http.StatusAccepted:
				firsts++
			}
			if answer.Binding() {
				require.Equal(s.tb, serials[user], answer.Serial, user)
			}
			require.Equal(s.tb, answer.HTTP == http.StatusOK, answer.Replayed, "%+v", answer)
		}
		last := answers[len(answers)-1]
		if _, owner := serials[user]; !owner {
			require.Equal(s.tb, coupon.CodeSoldOut, last.Code, "%s: %+v", user, answers)
			continue
		}
		require.True(s.tb, last.Binding(), "%s: %+v", user, answers)
		require.LessOrEqual(s.tb, firsts, 1, "%s: %+v", user, answers)
		require.True(s.tb, firsts == 1 || unclear, "%s: %+v", user, answers)
	}
}

// requireIssued looks a few claims up as their users would.
func (s *site) requireIssued(server, campaign string, serials map[string]int64) {
	s.tb.Helper()
	looked := 0
	for user, serial := range serials {
		status, body := s.get(server+"/v1/campaigns/"+campaign+"/claims/1", "X-User-Id", user)
		require.Equal(s.tb, http.StatusOK, status, body)
		require.Equal(s.tb, "issued", field(s.tb, body, "status"))
		require.Equal(s.tb, fmt.Sprint(serial), field(s.tb, body, "serial"))
		if looked++; looked == 20 {
			return
		}
	}
}

// TestPerUserLimit applies for more than one coupon of a campaign.
func TestPerUserLimit(t *testing.T) {
	s := newSite(t, programs(t), sharedStores(t))
	server := s.apiServer()
	s.consumer()
	campaign := s.campaign(10, 2, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 8, server)

	var plan []drop.Apply
	for _, user := range drop.Users(3) {
		for n := 1; n <= 3; n++ {
			plan = append(plan, drop.Apply{User: user, N: n}, drop.Apply{User: user, N: n})
		}
	}
	require.NoError(t, crowd.Run(t.Context(), plan))
	s.settle(crowd, journal)
	s.rest(campaign, 6)

	for apply, answer := range lastAnswers(journal) {
		if apply.N == 3 {
			require.Equal(t, http.StatusUnprocessableEntity, answer.HTTP)
			require.Equal(t, coupon.CodePerUserLimit, answer.Code)
			continue
		}
		require.True(t, answer.Binding(), answer)
	}
	require.Equal(t, 6, s.number(`SELECT COUNT(DISTINCT user_id, n) FROM coupons`))
	s.verdict(campaign, journal)
	s.batch("reconcile", "--wait", "30s")
}
