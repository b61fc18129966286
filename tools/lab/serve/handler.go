// Package serve puts a strategy behind HTTP: the same thin handler for all, so that their speeds compare.
package serve

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/tools/lab/strategy"
)

const (
	// Points is what one request adds.
	Points = 10

	longestRequest = 5 * time.Second
)

// Stats is what a server has counted since it started.
type Stats struct {
	Retries   int64 `json:"retries"`
	Deadlocks int64 `json:"deadlocks"`
	TimeOuts  int64 `json:"time_outs"`
}

// Handler serves a strategy on the product's routes. What it cannot do is 501.
func Handler(s strategy.Strategy, w *strategy.World) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/readyz", func(c *gin.Context) { c.Status(http.StatusOK) })
	engine.GET("/stats", func(c *gin.Context) {
		c.JSON(http.StatusOK, Stats{w.Retries.Load(), w.Deadlocks.Load(), w.TimeOuts.Load()})
	})
	engine.POST("/v1/campaigns/:campaign/apply", bounded(func(ctx context.Context, c *gin.Context, user string) {
		outcome, err := s.Grant(ctx, user)
		answer(c, outcome, err)
	}))
	engine.POST("/v1/campaigns/:campaign/claims/1/cancel", bounded(func(ctx context.Context, c *gin.Context, user string) {
		canceller, ok := s.(strategy.Canceller)
		if !ok {
			c.Status(http.StatusNotImplemented)
			return
		}
		answer(c, strategy.Granted, canceller.Cancel(ctx, user))
	}))
	engine.POST("/v1/points", bounded(func(ctx context.Context, c *gin.Context, user string) {
		adder, ok := s.(strategy.Adder)
		if !ok {
			c.Status(http.StatusNotImplemented)
			return
		}
		answer(c, strategy.Granted, adder.Add(ctx, user, Points))
	}))
	return engine
}

func bounded(serve func(ctx context.Context, c *gin.Context, user string)) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), longestRequest)
		defer cancel()
		serve(ctx, c, c.GetHeader("X-User-Id"))
	}
}

func answer(c *gin.Context, outcome strategy.Outcome, err error) {
	status := http.StatusOK
	switch {
	case errors.Is(err, strategy.ErrBusy):
		status, outcome = http.StatusTooManyRequests, "busy"
	case err != nil:
		status, outcome = http.StatusServiceUnavailable, "unknown"
	case outcome == strategy.Replayed:
		c.Header("Idempotent-Replayed", "true")
	case outcome == strategy.Queued:
		status = http.StatusAccepted
	case outcome == strategy.SoldOut, outcome == strategy.Refused:
		status = http.StatusConflict
	}
	c.JSON(status, gin.H{"status": status, "code": outcome})
}
