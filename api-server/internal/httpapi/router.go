// Package httpapi is the users' side of the HTTP API: routes, problems, authentication.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/planted"
)

// maxBody is the largest body of an apply, in bytes.
const maxBody = 4 << 10

// applier is the use case. Apply's error is a *coupon.Error or the context's.
type applier interface {
	Apply(ctx context.Context, key coupon.Key) (apply.Answer, error)
	Claim(ctx context.Context, key coupon.Key) (apply.Answer, error)
	Claims(ctx context.Context, campaign, user string) ([]apply.Answer, error)
}

// canceller cancels issued coupons and is safe to repeat. CodeClaimNotFound when there is no row.
type canceller interface {
	Cancel(ctx context.Context, key coupon.Key, reason string) (coupon.Coupon, coupon.Campaign, error)
}

type campaigns interface {
	Find(ctx context.Context, id string) (*coupon.Campaign, error)
	Campaigns() []*coupon.Campaign
}

type levels interface {
	Level(ref coupon.EpochRef) coupon.Level
}

type observer interface {
	Granted(a apply.Answer, took time.Duration)
	Refused(campaign string, code coupon.Code, took time.Duration)
}

// API serves users.
type API struct {
	applier   applier
	canceller canceller
	campaigns campaigns
	levels    levels
	observer  observer
}

// New returns the handler of the public listener.
func New(
	applier applier, canceller canceller, campaigns campaigns, levels levels,
	auth Authenticator, observer observer, logger *slog.Logger,
) http.Handler {
	a := &API{applier: applier, canceller: canceller, campaigns: campaigns, levels: levels, observer: observer}
	engine := Base(logger)
	v1 := engine.Group("/v1/campaigns")
	v1.GET("", a.listCampaigns)
	v1.GET("/:id", CheckCampaignID, a.getCampaign)
	own := v1.Group("/:id", CheckCampaignID)
	own.POST("/apply", forUser(auth, a.apply))
	own.GET("/claims", forUser(auth, a.listClaims))
	own.GET("/claims/:n", forUser(auth, a.getClaim))
	own.POST("/claims/:n/cancel", forUser(auth, a.cancel))
	return engine.Handler()
}

// CheckCampaignID refuses a path whose campaign id has not the form of one.
func CheckCampaignID(c *gin.Context) {
	if !coupon.ValidCampaignID(c.Param("id")) {
		Fail(c, errCampaignID)
	}
}

var errCampaignID = malformed("/id", "invalid_id", "a campaign id matches ^[a-z0-9][a-z0-9-]{0,62}$")

// apply answers 202 with a first grant and 200 with every repeat of it.
func (a *API) apply(c *gin.Context, user string) {
	start := time.Now()
	if planted.On(planted.UserFromBody) {
		user = believe(c, user)
	}
	n, err := readN(c)
	if err != nil {
		Fail(c, err)
		return
	}
	key := coupon.Key{Campaign: c.Param("id"), User: user, N: n}
	answer, err := a.applier.Apply(c.Request.Context(), key)
	if err != nil {
		a.observer.Refused(key.Campaign, coupon.CodeOf(err), time.Since(start))
		Fail(c, err)
		return
	}
	a.observer.Granted(answer, time.Since(start))
	status := http.StatusAccepted
	if answer.Replayed {
		status = http.StatusOK
		c.Header("Idempotent-Replayed", "true")
	}
	c.Header("Location", "/v1/campaigns/"+key.Campaign+"/claims/"+strconv.Itoa(n))
	writeJSON(c, status, appendClaim(make([]byte, 0, 256), answer))
}

// readN reads the optional body {"n": 2}; without one n is 1.
func readN(c *gin.Context) (int, error) {
	if c.Request.ContentLength == 0 {
		return 1, nil
	}
	body := struct {
		N *int `json:"n"`
	}{}
	if err := ReadJSON(c, maxBody, &body); err != nil {
		if errors.Is(err, errEmptyBody) {
			return 1, nil // a chunked body of nothing
		}
		return 0, err
	}
	if body.N == nil {
		return 1, nil
	}
	if *body.N < 1 {
		return 0, malformed("/n", "too_small", "n is at least 1")
	}
	return *body.N, nil
}

func (a *API) getClaim(c *gin.Context, user string) {
	key, err := claimKey(c, user)
	if err != nil {
		Fail(c, err)
		return
	}
	answer, err := a.applier.Claim(c.Request.Context(), key)
	if err != nil {
		Fail(c, err)
		return
	}
	if !answer.Status.Final() {
		c.Header("Retry-After", "1")
	}
	writeJSON(c, http.StatusOK, appendClaim(make([]byte, 0, 256), answer))
}

// claimKey reads which of the user's claims the path names.
func claimKey(c *gin.Context, user string) (coupon.Key, error) {
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil || n < 1 {
		return coupon.Key{}, malformed("/n", "invalid_n", "n is a whole number from 1")
	}
	return coupon.Key{Campaign: c.Param("id"), User: user, N: n}, nil
}

func (a *API) listClaims(c *gin.Context, user string) {
	answers, err := a.applier.Claims(c.Request.Context(), c.Param("id"), user)
	if err != nil {
		Fail(c, err)
		return
	}
	body := []byte(`{"data":[`)
	for i, answer := range answers {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendClaim(body, answer)
		if !answer.Status.Final() {
			c.Header("Retry-After", "1")
		}
	}
	writeJSON(c, http.StatusOK, append(body, `],"has_more":false,"next_cursor":null}`...))
}
