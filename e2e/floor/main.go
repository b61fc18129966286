// Command floor answers every apply with the same bytes and does nothing else: what a machine, its HTTP stack and a
// client can do at most, for a benchmark to compare the api-server with.
package main

import (
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
)

var claim = []byte(`{"object":"claim","campaign_id":"t-0123456789ab","user_id":"u-0123456","n":1,"serial":12345,"status":"accepted",` +
	`"claimed_at":"2026-12-01T03:00:00.021Z","issued_at":null,"coupon":null,"receipt":null}`)

func main() {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/readyz", func(c *gin.Context) { c.Status(http.StatusOK) })
	engine.POST("/v1/campaigns/:id/apply", func(c *gin.Context) {
		c.Header("Location", "/v1/campaigns/"+c.Param("id")+"/claims/1")
		c.Data(http.StatusAccepted, "application/json", claim)
	})
	server := &http.Server{Addr: os.Getenv("HTTP_ADDR"), Handler: engine, ReadHeaderTimeout: time.Second}
	if err := server.ListenAndServe(); err != nil {
		panic(err)
	}
}
