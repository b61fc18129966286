package adminapi

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/api-server/internal/httpapi"
	"github.com/seonchak/seonchak/api-server/internal/operate"
	"github.com/seonchak/seonchak/pkg/coupon"
)

// statsShown is a campaign's numbers. Those Redis or Kafka could not tell are null, and between two epochs those of Redis;
// refused, rate and apply_ms are of the server that answers; sold_out_at is when the last coupon was claimed, once all
// are rows.
type statsShown struct {
	CampaignID string           `json:"campaign_id"`
	AsOf       httpapi.Time     `json:"as_of"`
	Limit      int64            `json:"limit"`
	Claimed    *int64           `json:"claimed"`
	Pending    *int64           `json:"pending"`
	Issued     int64            `json:"issued"`
	InFlight   *int64           `json:"in_flight"`
	Failed     int64            `json:"failed"`
	Remaining  *int64           `json:"remaining"`
	Refused    map[string]int64 `json:"refused"`
	Rate       rateShown        `json:"rate"`
	ApplyMS    latencyShown     `json:"apply_ms"`
	Lag        *int64           `json:"consumer_lag"`
	Failures   failuresShown    `json:"failed_events"`
	Epoch      int64            `json:"epoch"`
	State      string           `json:"state"`
	EpochState string           `json:"epoch_state"`
	Mode       string           `json:"mode"`
	SoldOutAt  *httpapi.Time    `json:"sold_out_at"`
}

type rateShown struct {
	Applies float64 `json:"applies_per_s"`
	Issued  float64 `json:"issued_per_s"`
}

type latencyShown struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

type failuresShown struct {
	Pending   int64   `json:"pending"`
	Parked    int64   `json:"parked"`
	OldestAge float64 `json:"oldest_age_s"`
}

func (a *API) stats(c *gin.Context) {
	id := c.Param("id")
	stats, err := a.statistics.Of(c.Request.Context(), id, time.Now())
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	c.JSON(http.StatusOK, showStats(stats, a.traffic.Traffic(id)))
}

func showStats(s operate.Stats, t apply.Traffic) statsShown {
	live := s.Totals.Live()
	out := statsShown{
		CampaignID: s.Campaign.ID, AsOf: httpapi.Time(s.AsOf), Limit: s.Campaign.Limit, Issued: s.Totals.Rows,
		Failed: live, Refused: t.Refused, Lag: s.Backlog, Epoch: s.Campaign.Epoch,
		State: stateOf(s.Campaign), EpochState: string(s.Campaign.EpochState), Mode: string(s.Campaign.Mode),
		Rate: rateShown{Applies: t.AppliesPerS, Issued: t.IssuedPerS},
		ApplyMS: latencyShown{
			P50: float64(t.P50) / float64(time.Millisecond),
			P99: float64(t.P99) / float64(time.Millisecond),
		},
		Failures: failuresShown{
			Pending: s.Totals.Failed[coupon.FailurePending] + s.Totals.Failed[coupon.FailureLeased],
			Parked:  s.Totals.Failed[coupon.FailureParked],
		},
	}
	if s.Totals.Issued >= s.Campaign.Limit && !s.Totals.LastClaimedAt.IsZero() {
		at := httpapi.Time(s.Totals.LastClaimedAt)
		out.SoldOutAt = &at
	}
	if !s.Totals.OldestPending.IsZero() {
		out.Failures.OldestAge = max(0, s.AsOf.Sub(s.Totals.OldestPending).Seconds())
	}
	if claimed, known := claimedOf(s); known {
		inFlight := max(0, claimed-s.Totals.Rows-live)
		remaining := max(0, s.Campaign.HiWanted-s.Level.Last)
		out.Claimed, out.Pending, out.InFlight, out.Remaining = &claimed, &s.Level.Pending, &inFlight, &remaining
	}
	return out
}

// claimedOf counts the places that were ever claimed. In mode sql a claim is a row at once, and the claims of the epochs
// before are rows or failed events: their log was drained.
func claimedOf(s operate.Stats) (claimed int64, known bool) {
	switch {
	case !s.Level.Known:
		return 0, false
	case s.Campaign.Mode == coupon.ModeSQL:
		return s.Totals.Rows + s.Totals.Live(), true
	default:
		return s.Campaign.Base + s.Level.Last - s.Campaign.Lo + 1, true
	}
}

// stateOf is the campaign as its operators want it, whatever its epoch is in: open, paused or closed; draft before it is opened.
func stateOf(c coupon.Campaign) string {
	if c.Status == coupon.CampaignDraft {
		return string(coupon.CampaignDraft)
	}
	return string(c.Document().State)
}
