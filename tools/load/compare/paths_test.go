package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/procs"
	"github.com/seonchak/seonchak/tools/stage"
)

// busy is a server that sends everybody away so many times, and then grants.
type busy struct {
	mu    sync.Mutex
	times int
	tries map[string]int

	remembers bool // and counts whom it sends away
	forgotten int  // of the first who are sent away it does not count so many
}

func (b *busy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.URL.Path == "/metrics" {
		_, _ = fmt.Fprintf(w, "# HELP x\ncoupon_sold_out_from_memory_total %d\n", max(0, len(b.tries)-b.forgotten))
		return
	}
	user := r.Header.Get("X-User-Id")
	b.tries[user]++
	if b.remembers {
		w.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprint(w, `{"status":409,"code":"sold_out"}`)
		return
	}
	if b.tries[user] <= b.times {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprint(w, `{"status":503,"code":"overloaded"}`)
		return
	}
	w.Header().Set("Location", "somewhere")
	if b.tries[user] == b.times+1 {
		w.WriteHeader(http.StatusAccepted)
	} else {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	_, _ = fmt.Fprintf(w, `{"campaign_id":"winter","user_id":%q,"n":1,"serial":%d,"status":"accepted"}`, user, len(b.tries))
}

func TestHoldersAreMadeUntilAllHold(t *testing.T) {
	t.Parallel()
	for times, fails := range map[int]bool{0: false, 2: false, 1_000: true} {
		b := &busy{times: times, tries: map[string]int{}}
		server := httptest.NewServer(b)
		t.Cleanup(server.Close)
		crowd := &applicants{options: drive.Options{
			Servers: []string{strings.TrimPrefix(server.URL, "http://")}, Campaigns: []string{"winter"}, Users: arrival.NewUsers(1),
			Connections: 2, Timeout: time.Second,
		}}
		err := (&comparison{}).grantFirst(t.Context(), crowd, 5)
		require.Equal(t, fails, err != nil, err)
		require.Len(t, b.tries, 5)
	}
}

// office is a server where operators open campaigns, and users are granted whatever they apply for.
type office struct {
	mu      sync.Mutex
	limits  map[string]int
	applied map[string][]string // users of each campaign
	direct  int                 // of so many applies one is a row at once; 0 for none
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch campaign, applies := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v1/campaigns/"), "/apply"); {
	case r.Method == http.MethodGet:
		_, _ = fmt.Fprint(w, `{"availability":"open"}`)
	case applies:
		user := r.Header.Get("X-User-Id")
		o.applied[campaign] = append(o.applied[campaign], user)
		w.Header().Set("Location", "somewhere")
		w.WriteHeader(http.StatusAccepted)
		serial, status := len(o.applied[campaign]), "accepted"
		if o.direct > 0 && serial%o.direct == 0 {
			status = "issued"
		}
		_, _ = fmt.Fprintf(w, `{"campaign_id":%q,"user_id":%q,"n":1,"serial":%d,"status":%q}`, campaign, user, serial, status)
	default:
		var wish struct {
			ID    string
			Limit int
		}
		if err := json.NewDecoder(r.Body).Decode(&wish); err == nil {
			o.limits[wish.ID] = wish.Limit
			w.WriteHeader(http.StatusCreated)
		}
	}
}

// TestManyCampaignsAreOpenAndFiftyOfThemAreWanted follows the users to the campaigns that the witness expects them at.
func TestManyCampaignsAreOpenAndFiftyOfThemAreWanted(t *testing.T) {
	t.Parallel()
	o := &office{limits: map[string]int{}, applied: map[string][]string{}}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	c := &comparison{
		Options: Options{Lasts: time.Hour, Open: 1_000, Hot: 50},
		stage:   &stage.Stage{Server: &procs.APIServer{URL: server.URL, Admin: server.URL}},
	}
	crowd := crowdAt(server, 0)
	crowd.options.Campaigns = make([]string, 1)
	require.NoError(t, c.many(t.Context(), crowd))
	crowd.source = firstOf(crowd.source, 300) // of which the 155th comes to the last campaign
	require.Len(t, o.limits, 1_001, "all that are open, and the example")
	require.Len(t, crowd.options.Campaigns, 50)
	for _, campaign := range crowd.options.Campaigns {
		require.Equal(t, endless, o.limits[campaign])
	}
	require.Equal(t, 1, o.limits[crowd.example])

	r, err := crowd.round(t.Context())
	require.NoError(t, err)
	require.Zero(t, r.Other)
	require.Len(t, o.applied, 50, "each was wanted, and no other")
	plan := crowd.watch(arrival.Plan{Users: mostUsers, Seed: seed})
	for i, campaign := range crowd.options.Campaigns {
		for _, name := range o.applied[campaign] {
			user, ok := crowd.options.Users.Number(name)
			require.True(t, ok)
			require.True(t, plan.Has(user, i), "%s came to %s", name, campaign)
		}
	}
	require.Len(t, crowd.options.Witness.Promised(), int(r.Right))
	require.Equal(t, crowd.options.Campaigns, crowd.options.Witness.Campaigns())
}

// TestARowMadeWithoutTheLogIsNoGrantToAccepted has a server that makes every third user's coupon at once.
func TestARowMadeWithoutTheLogIsNoGrantToAccepted(t *testing.T) {
	t.Parallel()
	o := &office{limits: map[string]int{}, applied: map[string][]string{}, direct: 3}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	c := &comparison{
		Options: Options{Lasts: time.Hour},
		stage:   &stage.Stage{Server: &procs.APIServer{URL: server.URL, Admin: server.URL}},
	}
	crowd := crowdAt(server, 0)
	crowd.options.Campaigns = make([]string, 1)
	require.NoError(t, c.grant(t.Context(), crowd))
	crowd.source = firstOf(crowd.source, 20)
	r, err := crowd.round(t.Context())
	require.NoError(t, err)
	require.Len(t, o.applied[crowd.options.Campaigns[0]], 20)
	require.EqualValues(t, 6, r.Other)
	require.EqualValues(t, 14, r.Right)
}

// some is what comes first of a source.
type some struct {
	drive.Source
	left int
}

func (s *some) Next() (arrival.Apply, bool) {
	if s.left--; s.left < 0 {
		return arrival.Apply{}, false
	}
	return s.Source.Next()
}

func firstOf(source func(*applicants) drive.Source, n int) func(*applicants) drive.Source {
	return func(a *applicants) drive.Source { return &some{source(a), n} }
}

// crowdAt returns a crowd of so many users at a server.
func crowdAt(server *httptest.Server, users uint64) *applicants {
	return &applicants{
		say: quiet, kinds: []told.Kind{told.SoldOut}, source: func(*applicants) drive.Source { return &span{end: users} },
		options: drive.Options{
			Servers: []string{strings.TrimPrefix(server.URL, "http://")}, Campaigns: []string{"winter"}, Users: arrival.NewUsers(1),
			Connections: 2, Timeout: time.Second,
		},
	}
}

func TestARefusalThatAskedSomebodyCountsForNothing(t *testing.T) {
	t.Parallel()
	for forgotten, wrong := range map[int]string{0: "", 2: "", 3: "only 98.5 % of the refusals came from memory"} {
		b := &busy{tries: map[string]int{}, remembers: true, forgotten: forgotten}
		server := httptest.NewServer(b)
		t.Cleanup(server.Close)
		crowd := crowdAt(server, 200)
		crowd.fromMemory = func(ctx context.Context) (float64, error) { return refusedFromMemory(ctx, server.URL) }
		r, err := crowd.round(t.Context())
		require.NoError(t, err)
		require.Equal(t, wrong, r.Wrong)
		require.EqualValues(t, 200, r.Right+r.Other)
		require.Equal(t, wrong == "", r.Right == 200, "%+v", r)
		require.InDelta(t, float64(200-forgotten)/200, r.FromMemory, 1e-9)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	_, err := refusedFromMemory(t.Context(), server.URL)
	require.ErrorContains(t, err, "404 Not Found")
}

func TestARoundWithoutARightAnswerIsAnError(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&busy{times: 1, tries: map[string]int{}})
	t.Cleanup(server.Close)
	_, err := crowdAt(server, 5).round(t.Context())
	require.EqualError(t, err, "no right answer came; of 5 answers: map[503 overloaded:5]")
}

// TestAPromiseWithoutARowIsFound has two promises and, at first, one row.
func TestAPromiseWithoutARowIsFound(t *testing.T) {
	t.Parallel()
	db, err := drop.Open(testenv.MySQL(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	exec := func(statement string, args ...any) {
		_, err := db.ExecContext(t.Context(), statement, args...)
		require.NoError(t, err)
	}
	campaign := testenv.Campaign()
	exec(`INSERT INTO campaigns (slug, name, limit_count, issued, status, epoch, epoch_state, starts_at, ends_at, created_at, updated_at)
		VALUES (?, 'Test', 5, 0, 'active', 1, 'active', '2026-01-01', '2036-01-01', '2026-01-01', '2026-01-01')`, campaign)
	crowd := &applicants{options: drive.Options{Campaigns: []string{campaign}}}
	crowd.watch(arrival.Plan{Users: 5, Seed: 1})
	row := func(user uint64) {
		exec(`INSERT INTO coupons (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at)
			SELECT id, ?, ?, 1, 1, '', NOW(), NOW() FROM campaigns WHERE slug = ?`, user, arrival.NewUsers(1).Name(user), campaign)
		exec(`UPDATE campaigns SET issued = issued + 1 WHERE slug = ?`, campaign)
	}
	now := time.Now()
	for user := range uint64(2) {
		answer := told.Answer{Kind: told.Accepted, HTTP: http.StatusAccepted, Serial: int64(user) + 1, Status: []byte("accepted")}
		crowd.options.Witness.Add(user+1, answer, now, now)
	}
	row(1)
	idle := func(context.Context) (int64, error) { return 0, nil }
	require.ErrorContains(t, crowd.judge(t.Context(), db, idle), "lost 1")
	require.Zero(t, crowd.judged)
	row(2)
	require.NoError(t, crowd.judge(t.Context(), db, idle))
	require.EqualValues(t, 2, crowd.judged)
}
