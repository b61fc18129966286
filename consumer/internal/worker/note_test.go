package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestFailedEventsAreLoggedAndCounted(t *testing.T) {
	t.Parallel()
	bubble(t, func(b *bench) {
		b.record.issue = func(ctx context.Context, c string, d []coupon.Delivery) ([]coupon.Result, error) {
			if c == "b" {
				return allIssued(ctx, c, d)
			}
			return []coupon.Result{
				{Outcome: coupon.OutcomeIssued},
				{Outcome: coupon.OutcomeDuplicate},
				{Outcome: coupon.OutcomeVoid},
				{Outcome: coupon.OutcomeStale},
				{Outcome: coupon.OutcomeParked, Reason: coupon.ReasonLimitReached, Err: "1000 of 1000"},
				{Outcome: coupon.OutcomeDead, Reason: coupon.ReasonUnknownCampaign},
				{Outcome: coupon.OutcomeDead, Reason: coupon.ReasonSerialRange},
			}, nil
		}
		b.send("a", "issued", "duplicate", "void", "stale", "parked", "nowhere", "range")
		b.append(nil, nil)
		b.start()
		require.Len(t, b.lines.with(`"msg":"failed event"`), 4)
		parked := b.lines.with(`"event_key":"a:parked:1:1:5"`)
		require.Len(t, parked, 1)
		require.Contains(t, parked[0], `"level":"ERROR"`)
		require.Contains(t, parked[0], `"reason":"limit_reached","error":"1000 of 1000"`)
		dead := b.lines.with(`"event_key":"claims:0:6"`)
		require.Len(t, dead, 1)
		require.Contains(t, dead[0], `"level":"WARN"`)

		b.requireMetric("coupon_issued_total", `
			# HELP coupon_issued_total Records of the log by campaign and what became of them.
			# TYPE coupon_issued_total counter
			coupon_issued_total{campaign="",outcome="dead"} 2
			coupon_issued_total{campaign="a",outcome="dead"} 1
			coupon_issued_total{campaign="a",outcome="duplicate"} 1
			coupon_issued_total{campaign="a",outcome="issued"} 1
			coupon_issued_total{campaign="a",outcome="parked"} 1
			coupon_issued_total{campaign="a",outcome="stale"} 1
			coupon_issued_total{campaign="a",outcome="void"} 1
		`)
		b.requireMetric("coupon_stale_total", `
			# HELP coupon_stale_total Claims of a closed epoch: they were never a promise.
			# TYPE coupon_stale_total counter
			coupon_stale_total 1
		`)
		b.pass(25 * time.Hour)
		b.send("b", "u1")
		synctest.Wait()
		b.requireMetric("coupon_issued_total", `
			# HELP coupon_issued_total Records of the log by campaign and what became of them.
			# TYPE coupon_issued_total counter
			coupon_issued_total{campaign="b",outcome="issued"} 1
		`)
		require.NoError(t, b.end())
	})
}
