package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

// TestCancelledPlacesStayTakenOverARestart gives out two campaigns, cancels some coupons of each and restarts Redis empty.
// Where cancelling gives nothing back, nothing has come back; where it does, exactly as many places can be had again.
func TestCancelledPlacesStayTakenOverARestart(t *testing.T) {
	const limit, cancelled, late = 100, 10, 25
	redis, stores := privateRedis(t)
	s := newSite(t, programs(t), stores)
	server := s.apiServer()
	s.consumer()
	users := drop.Users(limit + late)
	places := map[string]int{
		s.campaign(limit, 1, server): 0,
		s.restocked(limit, server):   cancelled,
	}
	journals := map[string]*drop.Journal{}
	crowds := map[string]*drop.Crowd{}
	for campaign := range places {
		journals[campaign] = s.journal()
		crowds[campaign] = s.crowd(journals[campaign], campaign, 8, server)
		require.NoError(t, crowds[campaign].Run(t.Context(), drop.Plan(users[:limit], limit, 26)))
		s.settle(crowds[campaign], journals[campaign])
		s.rest(campaign, limit)
		for _, user := range users[:cancelled] {
			url := server.URL + "/v1/campaigns/" + campaign + "/claims/1/cancel"
			s.expect(http.StatusOK, "", "POST", url, "", "X-User-Id", user)
			s.expect(http.StatusOK, "", "POST", url, "", "X-User-Id", user) // gives nothing back a second time
		}
	}
	redis.Kill()
	redis.Start()
	for campaign, back := range places {
		s.awaitEpoch(campaign, 2, coupon.ModeRedis)
		require.NoError(t, crowds[campaign].Run(t.Context(), drop.Plan(users, len(users), 27)))
		s.settle(crowds[campaign], journals[campaign])
		s.rest(campaign, limit+back)
		s.verdict(campaign, journals[campaign])
		s.requireServedIn(campaign, 2, back)
		soldOut := 0
		for _, answer := range lastAnswers(journals[campaign]) {
			if answer.Code == coupon.CodeSoldOut {
				soldOut++
			}
		}
		require.Equal(t, late-back, soldOut)
	}
	s.batch("reconcile", "--wait", "30s")
}

// restocked opens a campaign whose cancelled coupons can be had again.
func (s *site) restocked(limit int, server *procs.APIServer) string {
	s.tb.Helper()
	id := testenv.Campaign()
	body := strings.Replace(wish(id, limit, 1, "active"), "{", `{"restock_on_cancel":true,`, 1)
	s.expect(http.StatusCreated, "", "POST", server.Admin+"/admin/v1/campaigns", body)
	s.awaitAvailability(server, id, "open")
	return id
}

// TestLimitMovesDuringADrop raises and lowers the limit five times a second while a crowd applies and Redis is lost. In
// the end every place that the ledger says there is was given to somebody.
func TestLimitMovesDuringADrop(t *testing.T) {
	const limit, people, wave = 5000, 6500, 150
	redis, stores := privateRedis(t)
	s := newSite(t, programs(t), stores)
	one, two := s.apiServer(), s.apiServer()
	s.consumer()
	campaign := s.campaign(limit, 1, one, two)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 16, one, two)
	users := drop.Users(people)

	waves := make(chan []string)
	var drops errgroup.Group
	drops.Go(func() error {
		for wave := range waves {
			if err := crowd.Run(t.Context(), drop.Plan(wave, len(wave)*3/2, 28)); err != nil {
				return err
			}
		}
		return nil
	})
	moves := &limitMoves{site: s, url: one.Admin + "/admin/v1/campaigns/" + campaign + "/limit-adjustments", limit: limit}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for left, lost := users, false; len(left) > 0; {
		select {
		case <-tick.C:
			moves.next()
		case <-deadline:
			require.FailNow(t, "the drop does not come to an end")
		}
		select {
		case waves <- left[:min(wave, len(left))]:
			left = left[min(wave, len(left)):]
		default: // the crowd still waits for its answers
		}
		if !lost && len(left) <= people*2/3 {
			redis.Kill()
			redis.Start()
			lost = true
		}
	}
	close(waves)
	require.NoError(t, drops.Wait())
	await(t, "no lowering is open", func() bool {
		return s.number(`SELECT lowering FROM campaigns WHERE slug = ?`, campaign) == 0
	})
	moves.requireMoved(campaign)

	// Everybody comes back, and who got nothing does so until the last raise can be claimed, too.
	total := s.number(`SELECT limit_count FROM campaigns WHERE slug = ?`, campaign)
	left := users
	await(t, "the limit is reached", func() bool {
		require.NoError(t, crowd.Run(t.Context(), drop.Plan(left, len(left), 29)))
		s.settle(crowd, journal)
		promises := binding(journal)
		left = slices.DeleteFunc(slices.Clone(users), func(user string) bool { return promises[user] > 0 })
		return len(promises) >= min(total, people)
	})
	s.requireAllServed(campaign, min(total, people), journal)
	require.GreaterOrEqual(t, s.stands(campaign).epoch, 2)
}

// limitMoves adjusts one campaign's limit again and again, up and down by turns.
type limitMoves struct {
	*site
	url             string
	limit           int // as it was created
	made            int
	raised, lowered int // as the answers say
	unknown         int // answered 503: done, not done, or done later
}

func (m *limitMoves) next() {
	m.tb.Helper()
	const up, down = 15, -10
	delta := up
	if m.made++; m.made%2 == 0 {
		delta = down
	}
	status, body := m.post(m.url, fmt.Sprintf(`{"delta":%d,"reason":"move %d"}`, delta, m.made))
	switch status {
	case http.StatusCreated:
		if delta > 0 {
			m.raised++
		} else {
			m.lowered++
		}
	case http.StatusConflict:
		require.Contains(m.tb, []string{string(coupon.CodeLimitBelowClaimed), string(coupon.CodeAdjusting)}, field(m.tb, body, "code"), body)
	default:
		require.Equal(m.tb, http.StatusServiceUnavailable, status, body)
		m.unknown++
	}
}

// requireMoved compares the ledger with the limit, and with what was answered.
func (m *limitMoves) requireMoved(campaign string) {
	m.tb.Helper()
	const ledger = ` FROM stock_ledger WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`
	raised := m.number(`SELECT COUNT(*)`+ledger+` AND kind = 'raise'`, campaign)
	lowered := m.number(`SELECT COUNT(*)`+ledger+` AND kind = 'lower'`, campaign)
	m.tb.Logf("%d moves: %d raised, %d lowered, %d unknown; the ledger has %d and %d", m.made, m.raised, m.lowered, m.unknown, raised, lowered)
	require.GreaterOrEqual(m.tb, m.raised, 5)
	require.GreaterOrEqual(m.tb, m.lowered, 3)
	require.GreaterOrEqual(m.tb, raised, m.raised)
	require.GreaterOrEqual(m.tb, lowered, m.lowered)
	require.LessOrEqual(m.tb, raised+lowered, m.raised+m.lowered+m.unknown)
	moved := m.number(`SELECT COALESCE(SUM(delta), 0)`+ledger, campaign)
	require.Equal(m.tb, m.limit+moved, m.number(`SELECT limit_count FROM campaigns WHERE slug = ?`, campaign))
}
