package httpapi

import (
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language"
)

const (
	requestIDHeader = "X-Request-Id"
	maxRequestID    = 64
)

// Base returns an engine with what every route has: a request id, recovery from panics, and problems for unknown routes
// and methods. It trusts no proxy and redirects nothing, so a POST is never sent twice.
func Base(logger *slog.Logger) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.ContextWithFallback = true
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	_ = engine.SetTrustedProxies(nil) // nil cannot fail to parse
	engine.Use(identify, logErrors(logger), recovery(logger))
	engine.NoRoute(func(c *gin.Context) { Fail(c, errNotFound) })
	engine.NoMethod(func(c *gin.Context) { Fail(c, errMethodNotAllowed) })
	return engine
}

// RequestID returns the id of the request: the caller's if it sent a fit one, else one of ours.
func RequestID(c *gin.Context) string { return c.Writer.Header().Get(requestIDHeader) }

func identify(c *gin.Context) {
	id := c.GetHeader(requestIDHeader)
	if !fitRequestID(id) {
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], rand.Uint64())
		binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
		var text [2 * len(b)]byte
		hex.Encode(text[:], b[:])
		id = string(text[:])
	}
	c.Header(requestIDHeader, id)
}

func fitRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == '"' || id[i] == '\\' {
			return false
		}
	}
	return true
}

// recovery turns a panic into a problem. A grant made before it is safe: its stages do not run on the request's
// goroutine, and the user's repeat gets the same claim.
func recovery(logger *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			if p := recover(); p != nil {
				logger.Error("panic in a handler", "panic", p, "path", c.FullPath(), "request_id", RequestID(c), "stack", string(debug.Stack()))
				if !c.Writer.Written() {
					Fail(c, errInternal)
				}
			}
		}()
		c.Next()
	}
}

// logErrors writes one line for an error whose text the client was not told.
func logErrors(logger *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Next()
		for _, e := range c.Errors {
			logger.Error("request failed", "error", e.Err, "path", c.FullPath(), "request_id", RequestID(c))
		}
	}
}

const (
	english = 0
	korean  = 1
)

var languages = language.NewMatcher([]language.Tag{language.English, language.Korean})

// languageOf picks English or Korean by Accept-Language. The plain headers are known without a parser.
func languageOf(r *http.Request) int {
	header := r.Header.Get("Accept-Language")
	switch {
	case header == "" || strings.HasPrefix(header, "en"):
		return english
	case strings.HasPrefix(header, "ko"):
		return korean
	}
	_, index := language.MatchStrings(languages, header)
	return index
}
