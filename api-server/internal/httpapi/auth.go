package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The scopes of operators.
const (
	ScopeAdmin = "coupon:admin"
	ScopeRead  = "coupon:read"
)

// acceptedSkew is how far the clock of the token's issuer may be off.
const acceptedSkew = 60 * time.Second

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

// Bearer verifies HS256 tokens: the algorithm is pinned, exp is required, and nbf, iss and aud are checked.
type Bearer struct {
	parser *jwt.Parser
	key    jwt.Keyfunc
}

// claims are what a token says that matters here.
type claims struct {
	jwt.RegisteredClaims
	Scope any `json:"scope"` // names with spaces between them; anything else grants nothing
}

// NewBearer returns a Bearer for a secret; issuer and audience are required of a token when they are not empty.
func NewBearer(secret []byte, issuer, audience string) *Bearer {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(acceptedSkew),
	}
	if issuer != "" {
		options = append(options, jwt.WithIssuer(issuer))
	}
	if audience != "" {
		options = append(options, jwt.WithAudience(audience))
	}
	return &Bearer{parser: jwt.NewParser(options...), key: func(token *jwt.Token) (any, error) {
		if _, critical := token.Header["crit"]; critical {
			return nil, jwt.ErrTokenUnverifiable // what must be understood is not, whatever it is
		}
		return secret, nil
	}}
}

// Authenticate returns the subject and the scopes of the request's token.
func (b *Bearer) Authenticate(r *http.Request) (Caller, error) {
	scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Caller{}, errUnauthenticated
	}
	var said claims
	if _, err := b.parser.ParseWithClaims(raw, &said, b.key); err != nil || said.Subject == "" {
		return Caller{}, errUnauthenticated
	}
	scope, _ := said.Scope.(string)
	return Caller{User: said.Subject, Scopes: strings.Fields(scope)}, nil
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
