package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
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

// reference is what golang-jwt's own parser makes of a token.
func reference(raw string) (user string) {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(acceptedSkew),
		jwt.WithIssuer("shop"), jwt.WithAudience("coupons"),
	}
	said := claims{}
	_, err := jwt.NewParser(options...).ParseWithClaims(raw, &said, func(token *jwt.Token) (any, error) {
		if _, critical := token.Header["crit"]; critical {
			return nil, jwt.ErrTokenUnverifiable
		}
		return secret, nil
	})
	if err != nil {
		return ""
	}
	return said.Subject
}

// odd are parts of tokens, right and wrong ones, as JSON.
var odd = struct{ header, sub, iss, aud, exp, iat, nbf []string }{
	header: []string{
		`{"alg":"HS256","typ":"JWT"}`, `{"alg":"HS256"}`, `{"typ":"JWT","alg":"HS256","kid":"7"}`, `{"alg":"HS512"}`, `{"alg":"none"}`,
		`{"ALG":"HS256"}`, `{"alg":"HS512","alg":"HS256"}`, `{"alg":["HS256"]}`, `{"alg":"HS256","crit":null}`, `{"alg":"HS256"}x`, `null`, `[]`, ``,
	},
	sub: []string{`"u-1"`, `"u-2"`, `""`, `null`, `7`, `["u-1"]`, `"\u0075-1"`},
	iss: []string{`"shop"`, `"shop"`, `"elsewhere"`, `null`, `1`},
	aud: []string{`"coupons"`, `["billing","coupons"]`, `["billing"]`, `[]`, `[1]`, `null`, `{}`},
	exp: []string{`4102444800`, `4102444800.5`, `4e9`, `"4102444800"`, `1`, `-1`, `0`, `null`, `true`, `1e400`},
	iat: []string{`1`, `1.5`, `4102444800`, `null`, `"1"`, `[]`},
	nbf: []string{`1`, `4102444800`, `null`, `"x"`},
}

// oddToken returns a token of such parts, signed, and sometimes spoilt after that.
func oddToken(random *rand.Rand) string {
	pick := func(of []string) string { return of[min(len(of)-1, int(random.ExpFloat64()*1.2))] }
	encode := base64.RawURLEncoding.EncodeToString
	payload := fmt.Sprintf(`{"sub":%s,"iss":%s,"aud":%s,"exp":%s,"iat":%s,"nbf":%s}`,
		pick(odd.sub), pick(odd.iss), pick(odd.aud), pick(odd.exp), pick(odd.iat), pick(odd.nbf))
	text := encode([]byte(pick(odd.header))) + "." + encode([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(text))
	token := []byte(text + "." + encode(mac.Sum(nil)))
	switch at := random.IntN(len(token)); random.IntN(8) {
	case 0:
		token[at] ^= byte(1 << random.IntN(7))
	case 1:
		token = token[:at]
	case 2:
		token = slices.Insert(token, at, ".=A\n"[random.IntN(4)])
	}
	return string(token)
}

// TestATokenMeansWhatTheLibrarySays is why the signature may be checked here.
func TestATokenMeansWhatTheLibrarySays(t *testing.T) {
	t.Parallel()
	const tokens = 5_000
	random := rand.New(rand.NewPCG(1, 1))
	bearer := NewBearer(secret, "shop", "coupons")
	accepted := 0
	for range tokens {
		raw := oddToken(random)
		caller, err := bearer.Authenticate(&http.Request{Header: http.Header{"Authorization": {"Bearer " + raw}}})
		require.Equal(t, reference(raw), caller.User, "token %q: %v", raw, err)
		if err == nil {
			accepted++
		}
	}
	require.Greater(t, accepted, tokens/100)
	require.Less(t, accepted, tokens/2)
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
