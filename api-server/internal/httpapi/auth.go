package httpapi

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The scopes of operators.
const (
	ScopeAdmin = "coupon:admin"
	ScopeRead  = "coupon:read"
)

var (
	errUnauthenticated  = &coupon.Error{Code: codeUnauthenticated}
	errForbidden        = &coupon.Error{Code: codeForbidden}
	errNotFound         = &coupon.Error{Code: codeNotFound}
	errMethodNotAllowed = &coupon.Error{Code: codeMethodNotAllowed}
	errInternal         = &coupon.Error{Code: codeInternal}
)

// Caller is who sent a request, as far as it proved that.
type Caller struct {
	User   string
	Scopes []string
}

// Authenticator tells who sent a request, or returns a *coupon.Error.
type Authenticator interface {
	Authenticate(r *http.Request) (Caller, error)
}

var everyScope = []string{ScopeAdmin}

// Dev takes the user from X-User-Id and grants every scope. It is for development and refused in production.
type Dev struct{}

// Authenticate returns the caller named by X-User-Id.
func (Dev) Authenticate(r *http.Request) (Caller, error) {
	return Caller{User: r.Header.Get("X-User-Id"), Scopes: everyScope}, nil
}

// forUser serves a request that proves a valid user.
func forUser(auth Authenticator, handle func(c *gin.Context, user string)) gin.HandlerFunc {
	return func(c *gin.Context) {
		caller, err := auth.Authenticate(c.Request)
		if err == nil && !coupon.ValidUserID(caller.User) {
			err = errUnauthenticated
		}
		if err != nil {
			challenge(c, err)
			return
		}
		handle(c, caller.User)
	}
}

const actorKey = "actor"

// Actor returns who sent a request that RequireScope let through, for the audit; "" where nobody said.
func Actor(c *gin.Context) string { return c.GetString(actorKey) }

// RequireScope lets a request through whose token carries one of the scopes.
func RequireScope(auth Authenticator, scopes ...string) gin.HandlerFunc {
	return func(c *gin.Context) {
		caller, err := auth.Authenticate(c.Request)
		if err == nil && caller.User != "" && !coupon.ValidUserID(caller.User) {
			err = errUnauthenticated
		}
		if err != nil {
			challenge(c, err)
			return
		}
		c.Set(actorKey, caller.User)
		if !slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(caller.Scopes, s) }) {
			Fail(c, errForbidden)
		}
	}
}

func challenge(c *gin.Context, err error) {
	c.Header("WWW-Authenticate", "Bearer")
	Fail(c, err)
}
