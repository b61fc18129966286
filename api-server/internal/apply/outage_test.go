package apply

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// answered is one apply and what became of it.
type answered struct {
	key     coupon.Key
	status  coupon.ClaimStatus
	code    coupon.Code
	serial  int64
	took    time.Duration
	arrived time.Duration // since the crowd came
}

// crowd has one of many users apply every few milliseconds, for a while; user names the n-th.
func (s *site) crowd(t *testing.T, during time.Duration, user func(n int) string) []answered {
	t.Helper()
	const pause = 5 * time.Millisecond
	answers := make([]answered, during/pause)
	var all sync.WaitGroup
	start := time.Now()
	for i := range answers {
		all.Go(func() {
			arrived := time.Now()
			k := key(user(i))
			a, err := s.service.Apply(t.Context(), k)
			answers[i] = answered{k, a.Status, coupon.CodeOf(err), a.Claim.Serial, time.Since(arrived), arrived.Sub(start)}
		})
		time.Sleep(pause) //nolint:forbidigo // the bubble's fake clock
	}
	all.Wait()
	return answers
}

func fresh(prefix string) func(int) string {
	return func(n int) string { return fmt.Sprint(prefix, n) }
}

// told counts the answers to applies that arrived in [from, to).
func told(answers []answered, from, to time.Duration) map[string]int {
	counts := map[string]int{}
	for _, a := range answers {
		if a.arrived >= from && a.arrived < to {
			counts[string(a.status)+string(a.code)]++
		}
	}
	return counts
}

func within(answers []answered, share float64) time.Duration {
	took := make([]time.Duration, len(answers))
	for i, a := range answers {
		took[i] = a.took
	}
	slices.Sort(took)
	return took[int(share*float64(len(took)-1))]
}

func only(t *testing.T, counts map[string]int, allowed ...string) {
	t.Helper()
	require.NotEmpty(t, counts)
	for answer := range counts {
		require.Contains(t, allowed, answer, "%v", counts)
	}
}

const (
	outage   = 4 * time.Second
	noticed  = 1200 * time.Millisecond // after it every answer is the outage's own
	recovery = 3 * time.Second         // and after that, all is as before
)

func TestEachOutageHasItsAnswer(t *testing.T) {
	t.Parallel()
	const unavailable = string(coupon.CodeUnavailable)
	cases := []struct {
		name                string
		redis, kafka, mysql condition
		mode                coupon.Mode
		best                string
		longest             time.Duration // of the answers once the outage is noticed
	}{
		{"nothing", up, up, up, coupon.ModeRedis, "accepted", 100 * time.Millisecond},
		{"Kafka silent", up, silent, up, coupon.ModeRedis, "issued", 100 * time.Millisecond},
		{"Kafka refusing", up, refusing, up, coupon.ModeRedis, "issued", 100 * time.Millisecond},
		{"MySQL silent", up, up, silent, coupon.ModeRedis, "pending", 100 * time.Millisecond},
		{"MySQL refusing", up, up, refusing, coupon.ModeRedis, "pending", 100 * time.Millisecond},
		{"Redis silent", silent, up, up, coupon.ModeRedis, unavailable, 200 * time.Millisecond},
		{"Redis refusing", refusing, up, up, coupon.ModeRedis, unavailable, 200 * time.Millisecond},
		{"Kafka and MySQL silent", up, silent, silent, coupon.ModeRedis, unavailable, 100 * time.Millisecond},
		{"Kafka and MySQL refusing", up, refusing, refusing, coupon.ModeRedis, unavailable, 100 * time.Millisecond},
		{"Redis and Kafka silent", silent, silent, up, coupon.ModeRedis, unavailable, 200 * time.Millisecond},
		{"Redis and MySQL silent", silent, up, silent, coupon.ModeRedis, unavailable, 200 * time.Millisecond},
		{"all silent", silent, silent, silent, coupon.ModeRedis, unavailable, 200 * time.Millisecond},
		{"in sql: nothing", up, up, up, coupon.ModeSQL, "issued", 100 * time.Millisecond},
		{"in sql: Redis and Kafka silent", silent, silent, up, coupon.ModeSQL, "issued", 100 * time.Millisecond},
		{"in sql: MySQL silent", up, up, silent, coupon.ModeSQL, unavailable, 100 * time.Millisecond},
		{"in sql: MySQL refusing", up, up, refusing, coupon.ModeSQL, unavailable, 100 * time.Millisecond},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, 1_000_000)
				s.mu.Lock()
				s.campaign.Mode = c.mode
				s.mu.Unlock()
				require.NoError(t, s.service.view.Refresh(t.Context()))
				s.set(c.redis, c.kafka, c.mysql)
				answers := s.crowd(t, outage, fresh("out-"))
				only(t, told(answers, noticed, outage), c.best)
				require.LessOrEqual(t, within(answers, 1), 2*time.Second)
				require.LessOrEqual(t, within(answers, 0.99), time.Second)
				late := slices.DeleteFunc(slices.Clone(answers), func(a answered) bool { return a.arrived < noticed })
				require.LessOrEqual(t, within(late, 1), c.longest, "once it is noticed, nobody waits for it")

				s.set(up, up, up)
				back := s.crowd(t, recovery+time.Second, fresh("back-"))
				want := "accepted"
				if c.mode == coupon.ModeSQL {
					want = "issued"
				}
				only(t, told(back, recovery, recovery+time.Second), want)
				s.rest(t, append(answers, back...))
			})
		})
	}
}

// While neither the log nor the database is there nobody decides, and the breakers close in whatever order the two return.
func TestNobodyIsGrantedWhatNothingCanKeep(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]struct {
		kafka, mysql condition
		best         string
	}{
		"Kafka returns first": {up, silent, "pending"},
		"MySQL returns first": {silent, up, "issued"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, 1_000_000)
				s.set(up, silent, silent)
				answers := s.crowd(t, 2*time.Second, fresh("a-"))
				s.mu.Lock()
				before := s.count
				s.mu.Unlock()
				answers = append(answers, s.crowd(t, 2*time.Second, fresh("b-"))...)
				s.mu.Lock()
				require.Equal(t, before, s.count, "no place is taken")
				s.mu.Unlock()

				s.set(up, first.kafka, first.mysql)
				half := s.crowd(t, recovery+time.Second, fresh("c-"))
				only(t, told(half, recovery, recovery+time.Second), first.best)
				s.set(up, up, up)
				whole := s.crowd(t, recovery+time.Second, fresh("d-"))
				only(t, told(whole, recovery, recovery+time.Second), "accepted")
				s.rest(t, slices.Concat(answers, half, whole))
			})
		})
	}
}

// Whatever fails, and however far it got before it did: who was told a serial has that row.
func TestFlakyStoresBreakNoPromise(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][3]condition{
		"Kafka":           {up, flaky, up},
		"Kafka and MySQL": {up, flaky, flaky},
		"all":             {flaky, flaky, flaky},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, 300)
				s.set(c[0], c[1], c[2])
				answers := s.crowd(t, 5*time.Second, func(n int) string { return fmt.Sprint("u-", n%400) })
				s.set(up, up, up)
				answers = append(answers, s.crowd(t, 5*time.Second, func(n int) string { return fmt.Sprint("u-", n%400) })...)
				s.rest(t, answers)
				require.Len(t, s.rows, 300)
				require.Positive(t, told(answers, 0, outage)["accepted"])
				if c[2] == up {
					require.Positive(t, told(answers, 0, outage)["issued"])
				}
			})
		})
	}
}

func TestALaneFollowsItsCampaignFromModeToMode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][3]condition{
		"all up":                 {up, up, up},
		"the log away":           {up, silent, up},
		"the log flaky":          {up, flaky, up},
		"Redis away in sql mode": {silent, up, up},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const limit = 1500
				s := newSite(t, limit)
				var flips sync.WaitGroup
				flips.Go(func() {
					for range 3 {
						time.Sleep(1500 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
						s.set(c[0], c[1], c[2])
						s.fence(coupon.ModeSQL)
						time.Sleep(1500 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
						s.set(up, c[1], up)
						s.fence(coupon.ModeRedis)
					}
					s.set(up, up, up)
				})
				answers := s.crowd(t, 15*time.Second, func(n int) string { return fmt.Sprint("u-", n*7919%2000) })
				flips.Wait()
				s.rest(t, answers)
				require.Len(t, s.rows, limit, "all of the stock is sold")
				require.LessOrEqual(t, within(answers, 1), 2*time.Second)
				bySerial := map[int64]coupon.Key{}
				for _, a := range answers {
					if a.code == coupon.CodeSoldOut {
						require.Empty(t, s.rows[a.key].User, "a holder is not told sold out")
					}
					if a.serial == 0 || a.status == coupon.StatusPending {
						continue
					}
					if k, ok := bySerial[a.serial]; ok {
						require.Equal(t, k, a.key)
					}
					bySerial[a.serial] = a.key
				}
			})
		})
	}
}
