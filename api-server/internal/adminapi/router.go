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

type operator interface {
	Create(ctx context.Context, c coupon.Campaign, active bool) (coupon.Campaign, error)
	Activate(ctx context.Context, id string) (coupon.Campaign, error)
	Pause(ctx context.Context, id string) (coupon.Campaign, error)
	Resume(ctx context.Context, id string) (coupon.Campaign, error)
	Close(ctx context.Context, id string) (coupon.Campaign, error)
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
	records    records
	statistics statistics
	traffic    traffic
}

// New returns the handler of /admin/v1.
func New(operator operator, records records, statistics statistics, traffic traffic, auth httpapi.Authenticator, logger *slog.Logger) http.Handler {
	a := &API{operator: operator, records: records, statistics: statistics, traffic: traffic}
	engine := httpapi.Base(logger)
	engine.Use(bounded)
	write := engine.Group("/admin/v1/campaigns", httpapi.RequireScope(auth, httpapi.ScopeAdmin))
	write.POST("", a.create)
	write.POST("/:id/activate", httpapi.CheckCampaignID, a.move(a.operator.Activate))
	write.POST("/:id/pause", httpapi.CheckCampaignID, a.move(a.operator.Pause))
	write.POST("/:id/resume", httpapi.CheckCampaignID, a.move(a.operator.Resume))
	write.POST("/:id/close", httpapi.CheckCampaignID, a.move(a.operator.Close))
	read := engine.Group("/admin/v1/campaigns", httpapi.RequireScope(auth, httpapi.ScopeAdmin, httpapi.ScopeRead))
	read.GET("", a.list)
	read.GET("/:id", httpapi.CheckCampaignID, a.get)
	read.GET("/:id/stats", httpapi.CheckCampaignID, a.stats)
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
	c.JSON(http.StatusCreated, shown(created))
}

func (a *API) move(step func(context.Context, string) (coupon.Campaign, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		campaign, err := step(c.Request.Context(), c.Param("id"))
		if err != nil {
			httpapi.Fail(c, err)
			return
		}
		c.JSON(http.StatusOK, shown(campaign))
	}
}

func (a *API) get(c *gin.Context) {
	campaign, err := a.records.Campaign(c.Request.Context(), c.Param("id"))
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	c.JSON(http.StatusOK, shown(campaign))
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
