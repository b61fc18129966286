// Package adminapi is the operators' side of the HTTP API, served on the admin listener only.
package adminapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/api-server/internal/httpapi"
	"github.com/seonchak/seonchak/api-server/internal/operate"
	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	maxBody  = 64 << 10        // the largest body of an operator's request, in bytes
	deadline = 8 * time.Second // below the server's write time-out
)

type editor interface {
	Create(ctx context.Context, c coupon.Campaign, active bool) (coupon.Campaign, error)
	Update(ctx context.Context, id string, version int64, change coupon.CampaignChange) (coupon.Campaign, error)
	Rebuild(ctx context.Context, id string) (coupon.Campaign, error)
}

type mover interface {
	Activate(ctx context.Context, id string) (coupon.Campaign, error)
	Pause(ctx context.Context, id string) (coupon.Campaign, error)
	Resume(ctx context.Context, id string) (coupon.Campaign, error)
	Close(ctx context.Context, id string) (coupon.Campaign, error)
}

type operator interface {
	editor
	mover
}

type limits interface {
	Adjust(ctx context.Context, id string, delta int64, reason, actor string) (coupon.Campaign, error)
	Adjustments(ctx context.Context, id string, after int64, limit int) ([]coupon.Adjustment, error)
}

type records interface {
	Campaign(ctx context.Context, id string) (coupon.Campaign, error)
	Campaigns(ctx context.Context, after string, limit int) ([]coupon.Campaign, error)
}

type statistics interface {
	Of(ctx context.Context, id string, now time.Time) (operate.Stats, error)
}

type traffic interface {
	Traffic(campaign string) apply.Traffic
}

// API serves operators.
type API struct {
	operator   operator
	limits     limits
	records    records
	statistics statistics
	traffic    traffic
}

// New returns the handler of /admin/v1.
func New(
	operator operator, limits limits, records records, statistics statistics, traffic traffic,
	auth httpapi.Authenticator, logger *slog.Logger,
) http.Handler {
	a := &API{operator: operator, limits: limits, records: records, statistics: statistics, traffic: traffic}
	engine := httpapi.Base(logger)
	engine.Use(bounded)
	write := engine.Group("/admin/v1/campaigns", httpapi.RequireScope(auth, httpapi.ScopeAdmin))
	write.POST("", a.create)
	one := write.Group("/:id", httpapi.CheckCampaignID)
	one.PATCH("", a.patch)
	one.POST("/activate", step(a.operator.Activate, http.StatusOK))
	one.POST("/pause", step(a.operator.Pause, http.StatusOK))
	one.POST("/resume", step(a.operator.Resume, http.StatusOK))
	one.POST("/close", step(a.operator.Close, http.StatusOK))
	one.POST("/rebuild", step(a.operator.Rebuild, http.StatusAccepted))
	one.POST("/limit-adjustments", a.adjust)
	read := engine.Group("/admin/v1/campaigns", httpapi.RequireScope(auth, httpapi.ScopeAdmin, httpapi.ScopeRead))
	read.GET("", a.list)
	read.GET("/:id", httpapi.CheckCampaignID, a.get)
	read.GET("/:id/stats", httpapi.CheckCampaignID, a.stats)
	read.GET("/:id/limit-adjustments", httpapi.CheckCampaignID, a.adjustments)
	return engine.Handler()
}

// bounded ends a request's work before the server stops writing, and not because the operator's client left: a change
// half made would wait for somebody to repeat it.
func bounded(c *gin.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), deadline)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

func (a *API) create(c *gin.Context) {
	var wish campaignWish
	if err := httpapi.ReadJSON(c, maxBody, &wish); err != nil {
		httpapi.Fail(c, err)
		return
	}
	campaign, err := wish.campaign()
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	created, err := a.operator.Create(c.Request.Context(), campaign, wish.Status == coupon.CampaignActive)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	c.Header("Location", "/admin/v1/campaigns/"+created.ID)
	answer(c, http.StatusCreated, created)
}

// step serves a step that an operator takes with a campaign.
func step(take func(context.Context, string) (coupon.Campaign, error), status int) gin.HandlerFunc {
	return func(c *gin.Context) {
		campaign, err := take(c.Request.Context(), c.Param("id"))
		if err != nil {
			httpapi.Fail(c, err)
			return
		}
		answer(c, status, campaign)
	}
}

func (a *API) get(c *gin.Context) {
	campaign, err := a.records.Campaign(c.Request.Context(), c.Param("id"))
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	answer(c, http.StatusOK, campaign)
}

// answer shows a campaign; its ETag is what If-Match of a patch names.
func answer(c *gin.Context, status int, campaign coupon.Campaign) {
	c.Header("ETag", etagOf(campaign))
	c.JSON(status, shown(campaign))
}

func (a *API) list(c *gin.Context) {
	limit, err := httpapi.PageLimit(c)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	after, err := httpapi.PageCursor(c)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	rows, err := a.records.Campaigns(c.Request.Context(), after, limit+1)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	page := make([]campaignShown, len(rows))
	for i, row := range rows {
		page[i] = shown(row)
	}
	c.JSON(http.StatusOK, httpapi.PageOf(page, limit, func(s campaignShown) string { return s.ID }))
}
