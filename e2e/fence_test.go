package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

// TestRebuildByOperator has the claim state made anew twice while a crowd applies, by the command and over HTTP. Users wait
// a moment, and nothing else changes for them.
func TestRebuildByOperator(t *testing.T) {
	const limit, people = 900, 1100
	s := newSite(t, programs(t), sharedStores(t))
	server := s.apiServer()
	s.consumer()
	campaign := s.campaign(limit, 1, server)
	operators := server.Admin + "/admin/v1/campaigns/"
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 16, server)
	users := drop.Users(people)
	during := func(users []string, rebuild func()) {
		before := journal.Tally().Granted
		var drops errgroup.Group
		drops.Go(func() error { return crowd.Run(t.Context(), drop.Plan(users, len(users)*5/4, 20)) })
		await(t, "some promises", func() bool { return journal.Tally().Granted >= before+100 })
		rebuild()
		require.NoError(t, drops.Wait())
	}

	during(users[:people/2], func() {
		require.Contains(t, s.batch("rebuild", campaign), "rebuilt 1, failed 0")
		require.Equal(t, standing{2, coupon.EpochActive, coupon.ModeRedis}, s.stands(campaign))
	})
	during(users[people/2:], func() {
		s.expect(http.StatusAccepted, "", "POST", operators+campaign+"/rebuild", "")
		s.awaitEpoch(campaign, 3, coupon.ModeRedis)
	})
	s.settle(crowd, journal)
	s.requireAllServed(campaign, limit, journal)
	s.requireServedIn(campaign, 1, 100)
	s.requireServedIn(campaign, 2, 100)

	unknown := testenv.Campaign()
	output, code, err := s.Batch(t.Context(), "rebuild", campaign, unknown)
	require.NoError(t, err)
	require.Equal(t, 1, code, output)
	require.Contains(t, output, "no such campaign: "+unknown)
	require.Equal(t, 3, s.stands(campaign).epoch, "with a campaign that there is not, nothing is asked for")
	s.expect(http.StatusNotFound, "campaign_not_found", "POST", operators+unknown+"/rebuild", "")
}

// standing is where the protocol stands with a campaign, as MySQL has it.
type standing struct {
	epoch int
	state coupon.EpochState
	mode  coupon.Mode
}

func (s *site) stands(campaign string) (c standing) {
	s.tb.Helper()
	row := s.db.QueryRowContext(s.tb.Context(), `SELECT epoch, epoch_state, mode FROM campaigns WHERE slug = ?`, campaign)
	require.NoError(s.tb, row.Scan(&c.epoch, &c.state, &c.mode))
	return c
}

// awaitEpoch waits until an epoch, that one or a later one, is active in this mode.
func (s *site) awaitEpoch(campaign string, epoch int, mode coupon.Mode) {
	s.tb.Helper()
	await(s.tb, fmt.Sprintf("epoch %d in mode %s", epoch, mode), func() bool {
		c := s.stands(campaign)
		return c.epoch >= epoch && c.state == coupon.EpochActive && c.mode == mode
	})
}

// begins returns the first serial of an epoch.
func (s *site) begins(campaign string, epoch int) int64 {
	s.tb.Helper()
	return int64(s.number(`SELECT lo FROM campaign_epochs WHERE epoch = ?
		AND campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`, epoch, campaign))
}

// requireServedIn finds so many rows, at the least, with serials that were given out in that epoch.
func (s *site) requireServedIn(campaign string, epoch, rows int) {
	s.tb.Helper()
	found := s.number(`SELECT COUNT(*) FROM coupons c JOIN campaign_epochs e ON e.campaign_id = c.campaign_id
		WHERE e.epoch = ? AND c.serial BETWEEN e.lo AND e.hi_max
		AND c.campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`, epoch, campaign)
	require.GreaterOrEqual(s.tb, found, rows, "nobody was served in epoch %d", epoch)
}

// TestWardenDiesInAFence loses the consumer whose warden leads while it waits for the log to be drained. The other one,
// which kept it waiting, finishes the fence. A leader that was only frozen comes back, and does no harm.
func TestWardenDiesInAFence(t *testing.T) {
	t.Parallel()
	t.Run("killed", func(t *testing.T) {
		t.Parallel() // it waits more than it works
		wardenDies(t, (*procs.Process).Kill, func(*procs.Consumer) {})
	})
	t.Run("frozen", func(t *testing.T) {
		t.Parallel()
		wardenDies(t, (*procs.Process).Pause, func(leader *procs.Consumer) {
			require.NoError(t, leader.Resume())
			await(t, "it stands down", func() bool { return says(t, leader, "the lead is lost") })
		})
	})
}

func wardenDies(t *testing.T, die func(*procs.Process) error, comeBack func(leader *procs.Consumer)) {
	t.Helper()
	const limit, people, before, last = 190, 200, 50, 150
	s := newSite(t, programs(t), sharedStores(t))
	server := s.apiServer()
	leader, other := s.consumer(), s.consumer()
	campaign := s.campaign(limit, 1, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 8, server)
	users := drop.Users(people)
	apply := func(users []string) { require.NoError(t, crowd.Run(t.Context(), drop.Plan(users, len(users), 21))) }

	apply(users[:before])
	s.settle(crowd, journal)
	s.rest(campaign, before)
	newLog(t, s.Group).awaitShared(2)
	await(t, "a warden leads", func() bool { return says(t, leader, leads) || says(t, other, leads) })
	if says(t, other, leads) {
		leader, other = other, leader
	}
	require.NoError(t, other.Pause()) // its partitions are not drained
	s.expect(http.StatusAccepted, "", "POST", server.Admin+"/admin/v1/campaigns/"+campaign+"/rebuild", "")
	await(t, "the fence has begun", func() bool { return s.stands(campaign).state == coupon.EpochFencing })
	require.NoError(t, die(leader.Process))
	require.Equal(t, standing{1, coupon.EpochFencing, coupon.ModeRedis}, s.stands(campaign))
	require.NoError(t, other.Resume())

	var drops errgroup.Group
	drops.Go(func() error { return crowd.Run(t.Context(), drop.Plan(users[before:last], last-before, 21)) })
	s.awaitEpoch(campaign, 2, coupon.ModeRedis)
	require.True(t, says(t, other, leads))
	require.NoError(t, drops.Wait())
	comeBack(leader)
	apply(users[last:])
	s.settle(crowd, journal)
	s.requireAllServed(campaign, limit, journal)
	s.requireServedIn(campaign, 2, limit-last) // those in between are of either epoch: one is fenced in MySQL before it is in Redis
	require.Equal(t, standing{2, coupon.EpochActive, coupon.ModeRedis}, s.stands(campaign))
}

const leads = "this warden leads"

// says reports whether a program has logged the words.
func says(t *testing.T, consumer *procs.Consumer, words string) bool {
	t.Helper()
	log, err := os.ReadFile(consumer.Log())
	require.NoError(t, err)
	return strings.Contains(string(log), words)
}

// awaitShared waits until so many members of the group have partitions.
func (l *log) awaitShared(members int) {
	l.tb.Helper()
	await(l.tb, "the consumers share the partitions", func() bool {
		response, err := l.client.DescribeGroups(l.tb.Context(), &kafka.DescribeGroupsRequest{GroupIDs: []string{l.group}})
		if err != nil || len(response.Groups) != 1 {
			return false
		}
		busy := 0
		for _, member := range response.Groups[0].Members {
			if len(member.MemberAssignments.Topics) > 0 && len(member.MemberAssignments.Topics[0].Partitions) > 0 {
				busy++
			}
		}
		return busy == members
	})
}
