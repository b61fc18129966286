package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

// recovery is how long a lost Redis may keep users waiting, beyond the time that the log takes to be drained.
const recovery = 15 * time.Second

// TestRedisRestartedEmptyMidDrop kills Redis in the middle of a drop and starts it again without its data, while the
// consumer is far behind. Who had a promise has a row with that serial, grants go on by themselves once the log is drained,
// and the limit is reached exactly.
func TestRedisRestartedEmptyMidDrop(t *testing.T) {
	const limit, people, again, paced = 20_000, 21_000, 1000, 100
	redis, stores := privateRedis(t)
	s := newSite(t, programs(t), stores)
	one, two := s.apiServer(), s.apiServer()
	slow := s.consumer(fmt.Sprintf("ISSUE_RATE=%d", paced)) // behind the applies: the fence has a log to drain
	campaign := s.campaign(limit, 1, one, two)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 64, one, two)

	var drops errgroup.Group
	drops.Go(func() error { return crowd.Run(t.Context(), drop.Plan(drop.Users(people), people+again, 23)) })
	await(t, "some promises", func() bool { return journal.Tally().Granted >= limit/3 })
	redis.Kill()
	killed := time.Now()
	promises := binding(journal)
	require.Less(t, len(promises), limit, "killed too late to prove anything")
	redis.Start()
	drain := s.drained(campaign, 1, len(promises))
	await(t, "the fence is finished", func() bool { return says(t, slow, "fence finished") })
	require.NoError(t, slow.Stop())
	s.consumer()
	require.NoError(t, drops.Wait())
	s.settle(crowd, journal)
	s.requireAllServed(campaign, limit, journal)
	s.requireKept(campaign, promises)
	s.requireServedIn(campaign, 1, len(promises))

	resumed := firstGrant(t, journal, s.begins(campaign, 2)).Sub(killed)
	t.Logf("killed after %d promises; %d of them were not yet rows when the fence began, and it drained %.0f/s; grants went on after %s",
		len(promises), drain.lag, drain.rate, resumed)
	require.Positive(t, drain.lag, "the fence had no log to drain")
	require.Greater(t, drain.rate, float64(2*paced), "who waits for a fence does not wait for ISSUE_RATE")
	require.Less(t, resumed, recovery+drain.bound())
	require.Equal(t, 2, s.stands(campaign).epoch, "one loss, one fence")
}

// binding returns the promises so far: the serial of each user.
func binding(journal *drop.Journal) map[string]int64 {
	promises := map[string]int64{}
	for _, a := range journal.Answers() {
		if a.Binding() {
			promises[a.User] = a.Serial
		}
	}
	return promises
}

// requireKept finds a row with the very serial for each promise.
func (s *site) requireKept(campaign string, promises map[string]int64) {
	s.tb.Helper()
	owners := s.owners(campaign)
	for user, serial := range promises {
		require.Equal(s.tb, serial, owners[user], user)
	}
}

// drain is how a fence drained the log.
type drain struct {
	lag  int     // promises without a row when it began
	rate float64 // rows a second
}

// bound is how long the lag should have taken.
func (d drain) bound() time.Duration {
	return time.Duration(float64(d.lag) / d.rate * float64(time.Second))
}

// drained waits for a fence that was brought about just now, and measures how it drains what was promised.
func (s *site) drained(campaign string, epoch, promised int) drain {
	s.tb.Helper()
	await(s.tb, "the fence has begun", func() bool {
		c := s.stands(campaign)
		return c.epoch > epoch || c.state == coupon.EpochFencing
	})
	before, began := s.rows(campaign), time.Now()
	await(s.tb, "the log is drained", func() bool { return s.stands(campaign).epoch > epoch })
	took := time.Since(began)
	return drain{lag: promised - before, rate: float64(s.rows(campaign)-before) / took.Seconds()}
}

// firstGrant returns when the first promise came with a serial from the given one on.
func firstGrant(t *testing.T, journal *drop.Journal, serial int64) time.Time {
	t.Helper()
	for _, a := range journal.Answers() {
		if a.Binding() && a.Serial >= serial {
			return a.Received
		}
	}
	require.FailNow(t, "nobody was granted anything after the fence")
	return time.Time{}
}

const (
	// patienceForRedis is how long the warden waits before MySQL decides, and steady how long before Redis does again.
	patienceForRedis = 5 * time.Second
	steady           = 10 * time.Second
)

// TestRedisAwayGoesToSQLModeAndBack takes Redis away for long. Applies are refused at first, then MySQL decides, and when
// Redis has been back for a while it does again. Holders read their coupons throughout, and no serial is given twice.
func TestRedisAwayGoesToSQLModeAndBack(t *testing.T) {
	t.Parallel() // it waits more than it works
	const limit, more, people = 300, 100, 420
	redis, stores := privateRedis(t)
	s := newSite(t, programs(t), stores)
	server := s.apiServer()
	s.consumer()
	campaign := s.campaign(limit, 1, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 8, server)
	users := drop.Users(people)
	apply := func(users []string) []drop.Answer {
		before := len(journal.Answers())
		require.NoError(t, crowd.Run(t.Context(), drop.Plan(users, len(users)*3/2, 24)))
		return journal.Answers()[before:]
	}

	apply(users[:100])
	s.settle(crowd, journal)
	s.rest(campaign, 100)
	stop := s.readThroughout(server, campaign, users[:4])
	redis.Kill()
	killed := time.Now()
	requireRefused(t, s.applyOnce(journal, server, campaign, users[100:120]), killed.Add(patienceForRedis))
	s.awaitEpoch(campaign, 2, coupon.ModeSQL)
	require.GreaterOrEqual(t, time.Since(killed), patienceForRedis)

	inSQL := apply(users[100:350])
	require.Equal(t, limit, s.rows(campaign), "who was answered has a row already")
	requireSoldOutIsTrue(t, inSQL)
	s.expect(http.StatusCreated, "", "POST", server.Admin+"/admin/v1/campaigns/"+campaign+"/limit-adjustments",
		fmt.Sprintf(`{"delta":%d,"reason":"demand"}`, more))
	back := time.Now()
	redis.Start()
	inSQL = append(inSQL, apply(users[350:380])...)
	require.Equal(t, limit+30, s.rows(campaign))
	requireIssued(t, inSQL)
	s.awaitEpoch(campaign, 3, coupon.ModeRedis)
	require.GreaterOrEqual(t, time.Since(back), steady)

	apply(users)
	s.settle(crowd, journal)
	stop()
	requireBounded(t, journal.Answers())
	s.requireAllServed(campaign, limit+more, journal)
	for epoch, rows := range map[int]int{1: 100, 2: limit + 30 - 100, 3: more - 30} {
		s.requireServedIn(campaign, epoch, rows)
	}
	require.Contains(t, statuses(journal, s.begins(campaign, 3)), coupon.StatusAccepted, "Redis decides again")
}

// applyOnce sends one apply for each user, and no second one whatever it is told.
func (s *site) applyOnce(journal *drop.Journal, server *procs.APIServer, campaign string, users []string) []drop.Answer {
	s.tb.Helper()
	crowd := drop.NewCrowd(drop.Options{Servers: []string{server.URL}, Campaign: campaign, Connections: 8}, journal)
	defer crowd.Close()
	before := len(journal.Answers())
	require.NoError(s.tb, crowd.Run(s.tb.Context(), drop.Plan(users, len(users), 25)))
	return journal.Answers()[before:]
}

// requireRefused checks that until then nobody was granted anything, nor told that nothing is left.
func requireRefused(t *testing.T, answers []drop.Answer, until time.Time) {
	t.Helper()
	answers = slices.DeleteFunc(slices.Clone(answers), func(a drop.Answer) bool { return a.Received.After(until) })
	require.NotEmpty(t, answers)
	for _, a := range answers {
		require.Equal(t, http.StatusServiceUnavailable, a.HTTP, "%+v", a)
		require.Equal(t, coupon.CodeUnavailable, a.Code, "%+v", a)
	}
}

// requireIssued checks answers that MySQL gave: a row, a refusal for good, or none for now.
func requireIssued(t *testing.T, answers []drop.Answer) {
	t.Helper()
	for _, a := range answers {
		if a.HTTP != http.StatusServiceUnavailable && a.Code != coupon.CodeSoldOut {
			require.Equal(t, coupon.StatusIssued, a.Status, "%+v", a)
		}
	}
}

// requireSoldOutIsTrue checks answers between which no place became free: who asked after somebody had been told that all
// are gone was not served any more.
func requireSoldOutIsTrue(t *testing.T, answers []drop.Answer) {
	t.Helper()
	first := slices.IndexFunc(answers, func(a drop.Answer) bool { return a.Code == coupon.CodeSoldOut })
	require.GreaterOrEqual(t, first, 0)
	for _, a := range answers {
		if a.Sent.After(answers[first].Received) {
			require.False(t, a.Binding() && !a.Replayed, "%+v after %+v", a, answers[first])
		}
	}
}

// statuses returns what first grants from a serial on were told.
func statuses(journal *drop.Journal, serial int64) (found []coupon.ClaimStatus) {
	for _, a := range journal.Answers() {
		if a.Serial >= serial && a.HTTP == http.StatusAccepted {
			found = append(found, a.Status)
		}
	}
	return found
}

// readThroughout has users read their coupons again and again until stop is called. Each must see it every time; the
// database may be too slow on a busy machine, but neither often nor for long.
func (s *site) readThroughout(server *procs.APIServer, campaign string, users []string) (stop func()) {
	s.tb.Helper()
	serials := s.owners(campaign)
	ctx, cancel := context.WithCancel(s.tb.Context())
	var readers errgroup.Group
	for _, user := range users {
		readers.Go(func() error {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			read, slow := 0, 0
			for seen := time.Now(); ctx.Err() == nil; <-tick.C {
				claim, err := readClaim(ctx, server.URL+"/v1/campaigns/"+campaign+"/claims/1", user)
				switch {
				case ctx.Err() != nil:
					continue
				case err != nil:
					return err
				case time.Since(seen) > bounded:
					return fmt.Errorf("%s did not see the coupon for %s, and then read %+v", user, time.Since(seen), claim)
				case claim.http == http.StatusServiceUnavailable:
					slow++
				case claim.http != http.StatusOK || claim.Status != coupon.StatusIssued || claim.Serial != serials[user]:
					return fmt.Errorf("%s has serial %d and read %+v", user, serials[user], claim)
				default:
					seen = time.Now()
				}
				read++
			}
			if slow > read/20 {
				return fmt.Errorf("%s was told %d times of %d to come back later", user, slow, read)
			}
			return nil
		})
	}
	return func() {
		s.tb.Helper()
		cancel()
		require.NoError(s.tb, readers.Wait())
	}
}

type claimRead struct {
	http   int
	Status coupon.ClaimStatus `json:"status"`
	Serial int64              `json:"serial"`
}

func readClaim(ctx context.Context, url, user string) (c claimRead, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return c, err
	}
	request.Header.Set("X-User-Id", user)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return c, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return c, err
	}
	c.http = response.StatusCode
	if c.http != http.StatusOK {
		return c, nil
	}
	err = json.Unmarshal(body, &c)
	return c, err
}
