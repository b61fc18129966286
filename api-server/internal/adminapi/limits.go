package adminapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/api-server/internal/httpapi"
	"github.com/seonchak/seonchak/pkg/coupon"
)

// limitWish is the body of a limit adjustment.
type limitWish struct {
	Delta  json.RawMessage `json:"delta"` // judged by us: "not whole" is a mistake in a value, not in the form
	Reason string          `json:"reason"`
}

// delta returns by how many places the limit moves, or an error that names every mistake.
func (w *limitWish) delta() (int64, error) {
	var m mistakes
	delta, err := strconv.ParseInt(string(w.Delta), 10, 64)
	m.check(err == nil && delta != 0 && delta >= -maxLimit && delta <= maxLimit,
		"/delta", "out_of_range", fmt.Sprintf("is required, a whole number from -%d to %d, not 0", maxLimit, maxLimit))
	length := utf8.RuneCountInString(w.Reason)
	m.check(strings.TrimSpace(w.Reason) != "" && length <= httpapi.MaxReason,
		"/reason", "invalid_length", fmt.Sprintf("is required, 1 to %d characters", httpapi.MaxReason))
	if len(m) > 0 {
		return 0, httpapi.Invalid(m...)
	}
	return delta, nil
}

// adjustedShown is the answer to a limit adjustment: what was done, and the limit that it made.
type adjustedShown struct {
	Object     string                `json:"object"`
	CampaignID string                `json:"campaign_id"`
	Kind       coupon.AdjustmentKind `json:"kind"`
	Delta      int64                 `json:"delta"`
	Reason     string                `json:"reason"`
	Actor      string                `json:"actor"`
	Limit      int64                 `json:"limit"`
	Issued     int64                 `json:"issued"`
	Version    int64                 `json:"version"`
}

// adjustmentShown is one entry of the stock ledger.
type adjustmentShown struct {
	Object    string                `json:"object"`
	ID        int64                 `json:"id"`
	Kind      coupon.AdjustmentKind `json:"kind"`
	Delta     int64                 `json:"delta"`
	Ref       *string               `json:"ref"`
	Reason    string                `json:"reason"`
	Actor     string                `json:"actor"`
	CreatedAt httpapi.Time          `json:"created_at"`
}

func showAdjustment(a coupon.Adjustment) adjustmentShown {
	s := adjustmentShown{
		Object: "adjustment", ID: a.ID, Kind: a.Kind, Delta: a.Delta, Reason: a.Reason, Actor: a.Actor,
		CreatedAt: httpapi.Time(a.CreatedAt),
	}
	if a.Ref != "" {
		s.Ref = &a.Ref
	}
	return s
}

func (a *API) adjust(c *gin.Context) {
	var wish limitWish
	if err := httpapi.ReadJSON(c, maxBody, &wish); err != nil {
		httpapi.Fail(c, err)
		return
	}
	delta, err := wish.delta()
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	id, actor := c.Param("id"), httpapi.Actor(c)
	campaign, err := a.limits.Adjust(c.Request.Context(), id, delta, wish.Reason, actor)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	kind := coupon.AdjustmentRaise
	if delta < 0 {
		kind = coupon.AdjustmentLower
	}
	c.Header("ETag", etagOf(campaign))
	c.JSON(http.StatusCreated, adjustedShown{
		Object: "adjustment", CampaignID: id, Kind: kind, Delta: delta, Reason: wish.Reason, Actor: actor,
		Limit: campaign.Limit, Issued: campaign.Issued, Version: campaign.Version,
	})
}

func (a *API) adjustments(c *gin.Context) {
	limit, err := httpapi.PageLimit(c)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	after, err := httpapi.PageNumber(c)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	campaign, err := a.records.Campaign(c.Request.Context(), c.Param("id"))
	if err != nil {
		httpapi.Fail(c, err) // a campaign that is not there has no empty ledger
		return
	}
	rows, err := a.limits.Adjustments(c.Request.Context(), campaign.ID, after, limit+1)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	page := make([]adjustmentShown, len(rows))
	for i, row := range rows {
		page[i] = showAdjustment(row)
	}
	c.JSON(http.StatusOK, httpapi.PageOf(page, limit, func(s adjustmentShown) string { return strconv.FormatInt(s.ID, 10) }))
}
