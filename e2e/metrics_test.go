package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/tools/drop"
)

// TestMetricsOfBrokenPromises reads on a consumer that all is well, breaks what must never break, and reads that.
func TestMetricsOfBrokenPromises(t *testing.T) {
	t.Parallel() // it waits more than it works
	const limit, broken = 5, "coupon_promises_broken_total"
	s := newSite(t, programs(t), sharedStores(t))
	server, consumer := s.apiServer(), s.consumer()
	campaign := s.campaign(limit, 1, server)
	oversold := `coupon_oversold{campaign="` + campaign + `"}`
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 4, server)
	require.NoError(t, crowd.Run(t.Context(), drop.Plan(drop.Users(limit), limit, 30)))
	s.settle(crowd, journal)
	s.rest(campaign, limit)
	began := time.Now()
	s.batch("reconcile", "--wait", "30s")
	reads := func(series string, value float64) {
		t.Helper()
		await(t, series, func() bool { return s.metric(consumer.Admin, series) == value })
	}
	await(t, "the success of reconcile", func() bool {
		at := s.metric(consumer.Admin, `coupon_batch_last_success_timestamp_seconds{job="reconcile"}`)
		return at >= float64(began.Unix()) && at <= float64(time.Now().Unix()+1)
	})
	reads(oversold, 0)
	reads(broken, 0)
	for _, status := range []string{"pending", "leased", "parked"} {
		reads(`coupon_failed_events{status="`+status+`"}`, 0)
	}
	reads("coupon_failed_event_oldest_age_seconds", 0)

	// A serial that belongs to somebody: parked, and due again after the fence that it asks for.
	claim := coupon.Claim{Key: coupon.Key{Campaign: campaign, User: "second-owner", N: 1}, Epoch: 1, Serial: 1, ClaimedAt: time.Now()}
	newLog(t, s.Group).append([]*poison{{value: event.Encode(claim)}})
	s.awaitEpoch(campaign, 2, coupon.ModeRedis)
	reads(broken, 1)
	reads(`coupon_failed_events{status="pending"}`, 1)
	await(t, "its age", func() bool {
		age := s.metric(consumer.Admin, "coupon_failed_event_oldest_age_seconds")
		return age > 0 && age <= time.Since(began).Seconds()
	})

	// Rows that nobody counted, and one that is gone.
	s.mustExec(`INSERT INTO coupons (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at)
		SELECT campaign_id, serial + 1000, CONCAT('surplus-', serial), 1, 1, code, claimed_at, issued_at FROM coupons WHERE serial <= 3`)
	s.mustExec(`DELETE FROM coupons WHERE serial = 5`)
	reads(oversold, 2)
	output, code, err := s.Batch(t.Context(), "reconcile", "--claims")
	require.NoError(t, err)
	require.Equal(t, 1, code, output)
	reads(broken, 2)

	s.expect(http.StatusOK, "", "POST", server.Admin+"/admin/v1/campaigns/"+campaign+"/close", "")
	reads(oversold, absent)
}

// absent is the value of a series that is not shown.
const absent = -1

// metric returns the value of a series as a program shows it now.
func (s *site) metric(admin, series string) float64 {
	s.tb.Helper()
	status, page := s.get(admin + "/metrics")
	require.Equal(s.tb, http.StatusOK, status)
	for line := range strings.Lines(page) {
		if text, found := strings.CutPrefix(line, series+" "); found {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			require.NoError(s.tb, err)
			return value
		}
	}
	return absent
}

func (s *site) mustExec(statement string, args ...any) {
	s.tb.Helper()
	_, err := s.db.ExecContext(s.tb.Context(), statement, args...)
	require.NoError(s.tb, err)
}
