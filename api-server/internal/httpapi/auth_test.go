package httpapi

import (
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/stretchr/testify/require"
)

var secret = []byte(strings.Repeat("s", 32))

// token returns a signed token of good claims after change has had its way with them.
func token(t testing.TB, algorithm jwa.SignatureAlgorithm, key []byte, change func(jwt.Token)) string {
	t.Helper()
	good, err := jwt.NewBuilder().Subject("u-42").Issuer("shop").Audience([]string{"coupons"}).
		IssuedAt(time.Now()).Expiration(time.Now().Add(time.Hour)).Build()
	require.NoError(t, err)
	if change != nil {
		change(good)
	}
	signed, err := jwt.Sign(good, jwt.WithKey(algorithm, key))
	require.NoError(t, err)
	return string(signed)
}

func set(t *testing.T, name string, value any) func(jwt.Token) {
	return func(token jwt.Token) { require.NoError(t, token.Set(name, value)) }
}

func remove(t *testing.T, name string) func(jwt.Token) {
	return func(token jwt.Token) { require.NoError(t, token.Remove(name)) }
}

func TestTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	hs256 := jwa.HS256()
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
		{"other algorithm", "Bearer " + token(t, jwa.HS512(), secret, nil), false},
		{"alg none", "Bearer " + unsigned(`{"alg":"none"}`), false},
		{"alg None", "Bearer " + unsigned(`{"alg":"None"}`), false},
		{"signature cut off", "Bearer " + good[:strings.LastIndexByte(good, '.')+1], false},
		{"payload changed", "Bearer " + strings.Replace(good, ".", ".e30", 1), false},
		{"expired", "Bearer " + token(t, hs256, secret, set(t, "exp", now.Add(-2*time.Minute))), false},
		{"expired within the skew", "Bearer " + token(t, hs256, secret, set(t, "exp", now.Add(-30*time.Second))), true},
		{"no expiry", "Bearer " + token(t, hs256, secret, remove(t, "exp")), false},
		{"not yet", "Bearer " + token(t, hs256, secret, set(t, "nbf", now.Add(2*time.Minute))), false},
		{"not yet, within the skew", "Bearer " + token(t, hs256, secret, set(t, "nbf", now.Add(30*time.Second))), true},
		{"other issuer", "Bearer " + token(t, hs256, secret, set(t, "iss", "elsewhere")), false},
		{"no issuer", "Bearer " + token(t, hs256, secret, remove(t, "iss")), false},
		{"other audience", "Bearer " + token(t, hs256, secret, set(t, "aud", []string{"billing"})), false},
		{"no subject", "Bearer " + token(t, hs256, secret, remove(t, "sub")), false},
		{"subject not a user id", "Bearer " + token(t, hs256, secret, set(t, "sub", "a b")), false},
		{"subject with a NUL", "Bearer " + token(t, hs256, secret, set(t, "sub", "a\x00")), false},
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
		signed := token(t, jwa.HS256(), secret, set(t, "scope", scope))
		read := send(t, engine, "GET", "/read", "", "Authorization", "Bearer "+signed)
		write := send(t, engine, "POST", "/write", "", "Authorization", "Bearer "+signed)
		require.Equal(t, want, [2]int{read.Code, write.Code}, scope)
	}
	require.Equal(t, 401, send(t, engine, "GET", "/read", "").Code)
}

func BenchmarkAuthenticate(b *testing.B) {
	good, err := jwt.NewBuilder().Subject("u-42").Expiration(time.Now().Add(time.Hour)).Build()
	require.NoError(b, err)
	signed, err := jwt.Sign(good, jwt.WithKey(jwa.HS256(), secret))
	require.NoError(b, err)
	auth := NewBearer(secret, "", "")
	request := httptest.NewRequest(http.MethodPost, applyPath, nil)
	request.Header.Set("Authorization", "Bearer "+string(signed))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.Authenticate(request); err != nil {
			b.Fatal(err)
		}
	}
}
