package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

// TestOpsHTTP leads one campaign through its life as an operator does.
func TestOpsHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, programs(t), sharedStores(t))
	server, consumer := s.apiServer(), s.consumer()
	id := testenv.Campaign()
	operators := server.Admin + "/admin/v1/campaigns"
	campaign := operators + "/" + id

	s.expect(http.StatusUnprocessableEntity, "validation_failed", "POST", operators, `{"id":"UPPER","name":""}`)
	s.expect(http.StatusCreated, "", "POST", operators, wish(id, 3, 1, "draft"))
	s.expect(http.StatusConflict, "campaign_exists", "POST", operators, wish(id, 3, 1, "draft"))
	s.expectApply(server, id, "early", http.StatusNotFound, "campaign_not_found")
	s.expect(http.StatusConflict, "invalid_transition", "POST", campaign+"/resume", "")
	s.expect(http.StatusOK, "", "POST", campaign+"/activate", "")
	s.expect(http.StatusOK, "", "POST", campaign+"/activate", "")
	s.awaitAvailability(server, id, "open")
	s.grant(server, id, "holder")

	s.expect(http.StatusOK, "", "POST", campaign+"/pause", "")
	s.expectApply(server, id, "late", http.StatusConflict, "campaign_paused")
	s.grant(server, id, "holder")
	s.awaitAvailability(server, id, "paused")
	s.expect(http.StatusOK, "", "POST", campaign+"/resume", "")
	s.awaitAvailability(server, id, "open")
	s.grant(server, id, "late")

	await(t, "the rows in the statistics", func() bool {
		status, body := s.get(campaign + "/stats")
		return status == http.StatusOK && field(t, body, "issued") == "2" && field(t, body, "pending") == "0"
	})
	s.expect(http.StatusOK, "", "POST", campaign+"/close", "")
	s.expect(http.StatusOK, "", "POST", campaign+"/close", "")
	s.expect(http.StatusConflict, "invalid_transition", "POST", campaign+"/resume", "")
	s.expectApply(server, id, "later", http.StatusConflict, "campaign_ended")
	s.grant(server, id, "holder")

	s.requireOnlyOnAdmin(server, id)
	s.requireHealthy(server, consumer)
	s.batch("reconcile", "--wait", "30s")
}

// requireOnlyOnAdmin looks for operators' routes where users are.
func (s *site) requireOnlyOnAdmin(server *procs.APIServer, id string) {
	s.tb.Helper()
	for _, path := range []string{"/admin/v1/campaigns", "/admin/v1/campaigns/" + id, "/metrics", "/livez", "/readyz", "/debug/pprof/"} {
		s.expect(http.StatusNotFound, "not_found", "GET", server.URL+path, "")
	}
	s.expect(http.StatusNotFound, "not_found", "POST", server.URL+"/admin/v1/campaigns/"+id+"/pause", "")
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/debug/pprof/": 404, "/v1/campaigns": 404} {
		status, _ := s.get(server.Admin + path)
		require.Equal(s.tb, want, status, path)
	}
}

func (s *site) requireHealthy(server *procs.APIServer, consumer *procs.Consumer) {
	s.tb.Helper()
	for name, address := range map[string]string{"api-server": server.Admin, "consumer": consumer.Admin} {
		output, code, err := procs.Run(s.tb.Context(), procs.Spec{
			Name: name, Binary: filepath.Join(built.dir, "race", name), Args: []string{"healthcheck"},
			Env: []string{"ADMIN_ADDR=" + strings.TrimPrefix(address, "http://")},
		})
		require.NoError(s.tb, err)
		require.Zero(s.tb, code, output)
	}
	s.batch("healthcheck")
}

// expect sends a request and checks the status and, of a problem, the code.
func (s *site) expect(status int, code, method, url, body string, header ...string) {
	s.tb.Helper()
	got, answer := s.send(method, url, body, header...)
	require.Equal(s.tb, status, got, "%s %s: %s", method, url, answer)
	if code != "" {
		require.Equal(s.tb, code, field(s.tb, answer, "code"), answer)
		require.NotEmpty(s.tb, field(s.tb, answer, "request_id"))
	}
}

func (s *site) expectApply(server *procs.APIServer, campaign, user string, status int, code string) {
	s.tb.Helper()
	await(s.tb, fmt.Sprintf("%s is told %s", user, code), func() bool {
		got, body := s.post(server.URL+"/v1/campaigns/"+campaign+"/apply", "", "X-User-Id", user)
		if got == http.StatusServiceUnavailable {
			return false // Redis was slow: tried again
		}
		require.Equal(s.tb, status, got, body)
		return field(s.tb, body, "code") == code
	})
}

// grant applies until the answer is a promise.
func (s *site) grant(server *procs.APIServer, campaign, user string) {
	s.tb.Helper()
	journal := drop.NewJournal()
	crowd := s.crowd(journal, campaign, 1, server)
	_, err := crowd.Apply(s.tb.Context(), drop.Apply{User: user, N: 1})
	require.NoError(s.tb, err)
	s.settle(crowd, journal)
	for _, answer := range lastAnswers(journal) {
		require.True(s.tb, answer.Binding(), "%+v", answer)
	}
}

const secret = "a secret of more than thirty-two bytes"

// token returns a signed token; change changes what an honest issuer would write.
func token(t *testing.T, user, scope string, change func(jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{
		"sub": user, "iss": "shop", "aud": "coupons", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "scope": scope,
	}
	if change != nil {
		change(claims)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	require.NoError(t, err)
	return "Bearer " + signed
}

// TestJWT runs an api-server as it runs in production: users are who their token says, and only operators' tokens move
// campaigns.
func TestJWT(t *testing.T) {
	t.Parallel()
	s := newSite(t, programs(t), sharedStores(t))
	server := s.apiServer("AUTH_MODE=jwt", "JWT_HMAC_SECRET="+secret, "JWT_ISSUER=shop", "JWT_AUDIENCE=coupons")
	s.consumer()
	id := testenv.Campaign()
	operators := server.Admin + "/admin/v1/campaigns"
	user, admin := token(t, "u-1", "", nil), token(t, "ops", "coupon:admin", nil)
	reader := token(t, "ops", "coupon:read", nil)

	s.expect(http.StatusUnauthorized, "unauthenticated", "POST", operators, wish(id, 5, 1, "active"))
	s.expect(http.StatusForbidden, "forbidden", "POST", operators, wish(id, 5, 1, "active"), "Authorization", user)
	s.expect(http.StatusForbidden, "forbidden", "POST", operators, wish(id, 5, 1, "active"), "Authorization", reader)
	s.expect(http.StatusCreated, "", "POST", operators, wish(id, 5, 1, "active"), "Authorization", admin)
	s.expect(http.StatusForbidden, "forbidden", "GET", operators+"/"+id, "", "Authorization", user)
	s.expect(http.StatusOK, "", "GET", operators+"/"+id, "", "Authorization", reader)
	s.expect(http.StatusForbidden, "forbidden", "POST", operators+"/"+id+"/pause", "", "Authorization", user)
	s.awaitAvailability(server, id, "open")

	url := server.URL + "/v1/campaigns/" + id + "/apply"
	for name, header := range map[string]string{
		"none":           "",
		"garbage":        "Bearer garbage",
		"expired":        token(t, "u-2", "", func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }),
		"other issuer":   token(t, "u-2", "", func(c jwt.MapClaims) { c["iss"] = "elsewhere" }),
		"other audience": token(t, "u-2", "", func(c jwt.MapClaims) { c["aud"] = "elsewhere" }),
		"unfit user":     token(t, "two words", "", nil),
	} {
		status, body := s.post(url, "", "Authorization", header, "X-User-Id", "u-2")
		require.Equal(t, http.StatusUnauthorized, status, "%s: %s", name, body)
		require.Equal(t, "unauthenticated", field(t, body, "code"))
	}

	journal := drop.NewJournal()
	crowd := drop.NewCrowd(drop.Options{
		Servers: []string{server.URL}, Campaign: id, Insist: true,
		Authorize: func(r *http.Request, name string) {
			r.Header.Set("Authorization", token(t, name, "", nil))
			r.Header.Set("X-User-Id", "somebody-else") // not believed
		},
	}, journal)
	t.Cleanup(crowd.Close)
	require.NoError(t, crowd.Run(t.Context(), drop.Plan(drop.Users(8), 16, 16)))
	s.settle(crowd, journal)
	s.requireAllServed(id, 5, journal)
}
