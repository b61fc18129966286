package httpapi

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

var secret = []byte(strings.Repeat("s", 32))

// token returns a signed token of good claims after change has had its way with them.
func token(t testing.TB, method jwt.SigningMethod, key []byte, change func(jwt.MapClaims)) string {
	t.Helper()
	now := time.Now()
	good := jwt.MapClaims{"sub": "u-42", "iss": "shop", "aud": []string{"coupons"}, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if change != nil {
		change(good)
	}
	signed, err := jwt.NewWithClaims(method, good).SignedString(key)
	require.NoError(t, err)
	return signed
}

func set(name string, value any) func(jwt.MapClaims) {
	return func(c jwt.MapClaims) { c[name] = value }
}

func remove(name string) func(jwt.MapClaims) {
	return func(c jwt.MapClaims) { delete(c, name) }
}

// critical returns a token that insists on something nobody here understands.
func critical(t *testing.T) string {
	t.Helper()
	insisting := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": "u-42", "iss": "shop", "aud": "coupons", "exp": time.Now().Add(time.Hour).Unix(),
	})
	insisting.Header["crit"] = []string{"b64"}
	signed, err := insisting.SignedString(secret)
	require.NoError(t, err)
	return signed
}

func TestTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	hs256 := jwt.SigningMethodHS256
	good := token(t, hs256, secret, nil)
	unsigned := func(header string) string {
		payload := strings.Split(good, ".")[1]
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + payload + "."
	}
	cases := []struct {
		name, authorization string
		ok                  bool
	}{
		{"good", "Bearer " + good, true},
		{"scheme in lower case", "bearer " + good, true},
		{"none at all", "", false},
		{"basic", "Basic " + good, false},
		{"garbage", "Bearer x.y.z", false},
		{"other secret", "Bearer " + token(t, hs256, []byte(strings.Repeat("x", 32)), nil), false},
		{"other algorithm", "Bearer " + token(t, jwt.SigningMethodHS512, secret, nil), false},
		{"alg none", "Bearer " + unsigned(`{"alg":"none"}`), false},
		{"alg None", "Bearer " + unsigned(`{"alg":"None"}`), false},
		{"signature cut off", "Bearer " + good[:strings.LastIndexByte(good, '.')+1], false},
		{"payload changed", "Bearer " + strings.Replace(good, ".", ".e30", 1), false},
		{"expired", "Bearer " + token(t, hs256, secret, set("exp", now.Add(-2*time.Minute).Unix())), false},
		{"expired within the skew", "Bearer " + token(t, hs256, secret, set("exp", now.Add(-30*time.Second).Unix())), true},
		{"no expiry", "Bearer " + token(t, hs256, secret, remove("exp")), false},
		{"not yet", "Bearer " + token(t, hs256, secret, set("nbf", now.Add(2*time.Minute).Unix())), false},
		{"not yet, within the skew", "Bearer " + token(t, hs256, secret, set("nbf", now.Add(30*time.Second).Unix())), true},
		{"other issuer", "Bearer " + token(t, hs256, secret, set("iss", "elsewhere")), false},
		{"no issuer", "Bearer " + token(t, hs256, secret, remove("iss")), false},
		{"other audience", "Bearer " + token(t, hs256, secret, set("aud", []string{"billing"})), false},
		{"issued in the future", "Bearer " + token(t, hs256, secret, set("iat", now.Add(2*time.Minute).Unix())), false},
		{"a single audience", "Bearer " + token(t, hs256, secret, set("aud", "coupons")), true},
		{"scopes as a list", "Bearer " + token(t, hs256, secret, set("scope", []string{"coupon:admin"})), true},
		{"with something critical", "Bearer " + critical(t), false},
		{"no subject", "Bearer " + token(t, hs256, secret, remove("sub")), false},
		{"subject not a user id", "Bearer " + token(t, hs256, secret, set("sub", "a b")), false},
		{"subject with a NUL", "Bearer " + token(t, hs256, secret, set("sub", "a\x00")), false},
	}
	h := serve(newFake(), NewBearer(secret, "shop", "coupons"))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			response := send(t, h, "POST", applyPath, "", "Authorization", c.authorization, "X-User-Id", "somebody-else")
			if c.ok {
				require.Equal(t, 202, response.Code)
				require.Contains(t, response.Body.String(), `"user_id":"u-42"`)
				return
			}
			require.Equal(t, 401, response.Code)
			require.Equal(t, "unauthenticated", fields(t, response)["code"])
			require.Equal(t, "Bearer", response.Header().Get("WWW-Authenticate"))
		})
	}
}

func TestScopesAreApart(t *testing.T) {
	t.Parallel()
	engine := Base(slog.New(slog.DiscardHandler))
	auth := NewBearer(secret, "", "")
	ok := func(c *gin.Context) { c.Status(204) }
	engine.GET("/read", RequireScope(auth, ScopeAdmin, ScopeRead), ok)
	engine.POST("/write", RequireScope(auth, ScopeAdmin), ok)
	for scope, want := range map[string][2]int{
		"":                           {403, 403},
		"coupon:redeem":              {403, 403},
		"coupon:read":                {204, 403},
		"coupon:admin":               {204, 204},
		"coupon:read coupon:admin":   {204, 204},
		"coupon:administrator admin": {403, 403},
	} {
		signed := token(t, jwt.SigningMethodHS256, secret, set("scope", scope))
		read := send(t, engine, "GET", "/read", "", "Authorization", "Bearer "+signed)
		write := send(t, engine, "POST", "/write", "", "Authorization", "Bearer "+signed)
		require.Equal(t, want, [2]int{read.Code, write.Code}, scope)
	}
	require.Equal(t, 401, send(t, engine, "GET", "/read", "").Code)
}
