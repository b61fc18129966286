package drop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// server is the other end of a crowd: it grants limit places and answers as the contract says. broken, when it is set,
// may answer in its place.
type server struct {
	limit  int64
	broken func(w http.ResponseWriter, r *http.Request, try int) bool

	mu      sync.Mutex
	serials map[string]int64
	tries   int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.broken != nil && s.broken(w, r, s.tries) {
		return
	}
	body := struct {
		N int `json:"n"`
	}{N: 1}
	if r.ContentLength > 0 && json.NewDecoder(r.Body).Decode(&body) != nil {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	user := r.Header.Get("X-User-Id")
	member := fmt.Sprintf("%d/%s", body.N, user)
	serial, held := s.serials[member]
	if !held && int64(len(s.serials)) == s.limit {
		problem(w, http.StatusConflict, coupon.CodeSoldOut)
		return
	}
	status := http.StatusOK
	if !held {
		status, serial = http.StatusAccepted, int64(len(s.serials))+1
		s.serials[member] = serial
	} else {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.Header().Set("Location", "/v1/campaigns/c/claims/1")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"campaign_id":%q,"user_id":%q,"n":%d,"serial":%d,"status":"accepted"}`, r.PathValue("id"), user, body.N, serial)
}

func problem(w http.ResponseWriter, status int, code coupon.Code) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"status":%d,"code":%q}`, status, code)
}

func serve(t *testing.T, s *server) string {
	t.Helper()
	s.serials = map[string]int64{}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/campaigns/{id}/apply", s)
	listening := httptest.NewServer(mux)
	t.Cleanup(listening.Close)
	return listening.URL
}

func TestACrowdFollows(t *testing.T) {
	t.Parallel()
	s := &server{limit: 10}
	journal := NewJournal()
	crowd := NewCrowd(Options{Servers: []string{serve(t, s)}, Campaign: "c", Connections: 4}, journal)
	t.Cleanup(crowd.Close)
	var mu sync.Mutex
	var asked int
	require.NoError(t, crowd.Follow(t.Context(), func(context.Context) (Apply, bool) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return Apply{User: fmt.Sprintf("u-%d", asked), N: 1}, asked <= 30
	}))
	require.EqualValues(t, 30, journal.Tally().Tries)
	require.Equal(t, 30+4, asked, "every connection is told that there is no more")

	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, crowd.Follow(ctx, func(context.Context) (Apply, bool) {
		cancel()
		return Apply{User: "u-1", N: 1}, true
	}), context.Canceled)
}

func TestACrowd(t *testing.T) {
	t.Parallel()
	one, two := &server{limit: 10}, &server{limit: 10}
	journal := NewJournal()
	crowd := NewCrowd(Options{Servers: []string{serve(t, one), serve(t, two)}, Campaign: "c", Connections: 8}, journal)
	t.Cleanup(crowd.Close)
	plan := Plan(Users(100), 300, 1)
	require.NoError(t, crowd.Run(t.Context(), plan))

	tally := journal.Tally()
	require.EqualValues(t, 300, tally.Tries)
	require.EqualValues(t, 20, tally.Granted) // each server by itself gave 10
	require.EqualValues(t, 280, tally.Replayed+tally.Refused[coupon.CodeSoldOut])
	require.Zero(t, tally.Unknown+tally.Pending)
	require.Equal(t, 150, one.tries)
	require.Equal(t, 150, two.tries)
	for _, a := range journal.Answers() {
		require.Empty(t, a.Fault, a)
		require.True(t, a.Received.After(a.Sent))
	}
	p50, p99 := journal.Latency()
	require.Positive(t, p50)
	require.GreaterOrEqual(t, p99, p50)
	first, last := journal.Span()
	require.True(t, first.Before(last))
}

func TestACrowdInsists(t *testing.T) {
	t.Parallel()
	s := &server{limit: 1, broken: func(w http.ResponseWriter, _ *http.Request, try int) bool {
		switch try {
		case 1:
			panic(http.ErrAbortHandler) // the connection ends without an answer
		case 2:
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusServiceUnavailable, coupon.CodeOverloaded)
		case 3:
			w.Header().Set("Content-Length", "1000")
			_, _ = fmt.Fprint(w, `{"half":`)
		default:
			return false
		}
		return true
	}}
	journal := NewJournal()
	crowd := NewCrowd(Options{Servers: []string{serve(t, s)}, Campaign: "c", Insist: true}, journal)
	answer, err := crowd.Apply(t.Context(), Apply{"u-1", 2})
	require.NoError(t, err)
	require.True(t, answer.Binding())
	require.Equal(t, 2, answer.N)
	tally := journal.Tally()
	require.EqualValues(t, 4, tally.Tries)
	require.EqualValues(t, 2, tally.Unknown)
	require.EqualValues(t, 1, tally.Refused[coupon.CodeOverloaded])
	claims, last := journal.Promises()
	require.EqualValues(t, 1, claims)
	require.Equal(t, answer.Received, last)
}

func TestACrowdStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{broken: func(http.ResponseWriter, *http.Request, int) bool {
		cancel()
		panic(http.ErrAbortHandler)
	}}
	journal := NewJournal()
	crowd := NewCrowd(Options{Servers: []string{serve(t, s)}, Campaign: "c", Insist: true, Connections: 4}, journal)
	require.ErrorIs(t, crowd.Run(ctx, Plan(Users(50), 50, 1)), context.Canceled)
	require.Positive(t, journal.Tally().Unknown) // what was on its way may have been granted
}

func TestFaultsOfAnAnswer(t *testing.T) {
	t.Parallel()
	const good = `{"campaign_id":"c","user_id":"u","n":1,"serial":7,"status":"accepted"}`
	first := http.Header{"Location": {"/x"}}
	repeat := http.Header{"Location": {"/x"}, "Idempotent-Replayed": {"true"}}
	later := http.Header{"Retry-After": {"1"}}
	cases := map[string]struct {
		status int
		header http.Header
		body   string
		fault  string
	}{
		"first grant":          {202, first, good, ""},
		"repeat":               {200, repeat, good, ""},
		"pending":              {202, first, `{"campaign_id":"c","user_id":"u","n":1,"serial":null,"status":"pending"}`, ""},
		"refused":              {409, nil, `{"status":409,"code":"sold_out"}`, ""},
		"overloaded":           {503, later, `{"status":503,"code":"overloaded"}`, ""},
		"claim of another":     {202, first, `{"campaign_id":"c","user_id":"v","n":1,"serial":7,"status":"accepted"}`, "the claim is of c, v"},
		"other campaign":       {202, first, `{"campaign_id":"d","user_id":"u","n":1,"serial":7,"status":"accepted"}`, "the claim is of d"},
		"other n":              {202, first, `{"campaign_id":"c","user_id":"u","n":2,"serial":7,"status":"accepted"}`, "n=2"},
		"pending with serial":  {202, first, `{"campaign_id":"c","user_id":"u","n":1,"serial":7,"status":"pending"}`, "names a serial: true"},
		"no serial":            {202, first, `{"campaign_id":"c","user_id":"u","n":1,"serial":null,"status":"accepted"}`, "names a serial: false"},
		"serial 0":             {202, first, `{"campaign_id":"c","user_id":"u","n":1,"serial":0,"status":"issued"}`, "the serial is 0"},
		"unknown status":       {202, first, `{"campaign_id":"c","user_id":"u","n":1,"serial":null,"status":"maybe"}`, `"maybe"`},
		"repeat as first":      {202, repeat, good, "202 with Idempotent-Replayed: true"},
		"first as repeat":      {200, first, good, "200 with Idempotent-Replayed: false"},
		"no location":          {202, nil, good, "no Location"},
		"no JSON":              {202, first, `<html>`, "not readable"},
		"internal error":       {500, later, `{"status":500,"code":"internal_error"}`, "is no answer"},
		"wrong pair":           {404, nil, `{"status":404,"code":"sold_out"}`, "is no answer"},
		"other status in body": {409, nil, `{"status":410,"code":"sold_out"}`, "body says 410"},
		"no Retry-After":       {503, nil, `{"status":503,"code":"overloaded"}`, "without Retry-After"},
		"a problem as text":    {502, nil, `Bad gateway`, "not readable"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := Answer{User: "u", N: 1}
			a.read("c", &http.Response{StatusCode: c.status, Header: c.header}, []byte(c.body))
			require.Equal(t, c.status, a.HTTP)
			if c.fault == "" {
				require.Empty(t, a.Fault)
				return
			}
			require.Contains(t, a.Fault, c.fault)
		})
	}
}
