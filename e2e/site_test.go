package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

// patience is how long anything may take that is bound to happen: a slow machine is no fault.
const patience = 2 * time.Minute

// site is a private place on the stores, and a database handle that the programs know nothing of.
type site struct {
	*procs.Site
	tb testing.TB
	db *sql.DB
}

// sharedStores returns the stores that all tests share.
func sharedStores(tb testing.TB) procs.Stores {
	tb.Helper()
	testenv.Redis(tb) // these three skip, or fail, with the reason where there is no store
	testenv.Kafka(tb)
	testenv.EmptyDatabase(tb)
	stores, err := procs.StoresFrom(os.Getenv)
	require.NoError(tb, err)
	return stores
}

// newSite makes a site with the programs in bin. When the test ends every program must end in order and must have had
// neither a data race nor a panic.
func newSite(tb testing.TB, bin string, stores procs.Stores) *site {
	tb.Helper()
	inner, err := procs.NewSite(tb.Context(), stores, bin, tb.TempDir())
	require.NoError(tb, err)
	db, err := drop.Open(inner.DSN)
	require.NoError(tb, err)
	s := &site{Site: inner, tb: tb, db: db}
	tb.Cleanup(func() {
		require.NoError(tb, db.Close())
		err := inner.Close()
		s.readLogs()
		require.NoError(tb, err)
	})
	return s
}

var (
	trouble = regexp.MustCompile(`"level":"(WARN|ERROR)"`)
	// The log is shared: what others write to it is unknown here.
	notOurs = regexp.MustCompile(`"reason":"unknown_campaign"`)
)

// readLogs looks for what no program may ever do, and shows what the programs complained of when the test failed.
func (s *site) readLogs() {
	s.tb.Helper()
	logs, err := filepath.Glob(filepath.Join(s.Dir, "*.log"))
	require.NoError(s.tb, err)
	for _, log := range logs {
		content, err := os.ReadFile(log)
		require.NoError(s.tb, err)
		if s.tb.Failed() {
			s.showTrouble(filepath.Base(log), string(content))
		}
		for _, fatal := range []string{"WARNING: DATA RACE", "\npanic: ", "panic in a handler", "panic while issuing"} {
			if at := bytes.Index(content, []byte(fatal)); at >= 0 {
				s.tb.Errorf("%s: %s:\n%.4000s", filepath.Base(log), strings.TrimSpace(fatal), content[at:])
			}
		}
	}
}

// showTrouble shows the first warnings and errors of a program.
func (s *site) showTrouble(log, content string) {
	s.tb.Helper()
	shown := 0
	for line := range strings.Lines(content) {
		if shown < 20 && trouble.MatchString(line) && !notOurs.MatchString(line) {
			s.tb.Logf("%s: %.600s", log, line)
			shown++
		}
	}
}

func (s *site) apiServer(env ...string) *procs.APIServer {
	s.tb.Helper()
	server, err := s.StartAPIServer(s.tb.Context(), env...)
	require.NoError(s.tb, err)
	return server
}

func (s *site) consumer(env ...string) *procs.Consumer {
	s.tb.Helper()
	consumer, err := s.StartConsumer(s.tb.Context(), env...)
	require.NoError(s.tb, err)
	return consumer
}

// batch runs a job that must go well and returns what it wrote.
func (s *site) batch(args ...string) string {
	s.tb.Helper()
	output, code, err := s.Batch(s.tb.Context(), args...)
	require.NoError(s.tb, err)
	require.Zero(s.tb, code, "batch %s:\n%s", strings.Join(args, " "), output)
	return output
}

// campaign opens a campaign on the first server and returns its id once every server takes applies.
func (s *site) campaign(limit, perUser int, servers ...*procs.APIServer) string {
	s.tb.Helper()
	id := testenv.Campaign()
	status, body := s.post(servers[0].Admin+"/admin/v1/campaigns", wish(id, limit, perUser, "active"))
	require.Equal(s.tb, http.StatusCreated, status, body)
	for _, server := range servers {
		s.awaitAvailability(server, id, "open")
	}
	return id
}

// wish is the body that creates a campaign which runs now.
func wish(id string, limit, perUser int, status string) string {
	now := time.Now().UTC()
	return fmt.Sprintf(`{"id":%q,"name":"e2e","limit":%d,"per_user_limit":%d,"status":%q,"starts_at":%q,"ends_at":%q}`,
		id, limit, perUser, status, now.Add(-time.Hour).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
}

func (s *site) awaitAvailability(server *procs.APIServer, campaign, want string) {
	s.tb.Helper()
	await(s.tb, "availability "+want, func() bool {
		_, body := s.get(server.URL + "/v1/campaigns/" + campaign)
		return field(s.tb, body, "availability") == want
	})
}

// crowd returns a crowd that insists on an answer.
func (s *site) crowd(journal *drop.Journal, campaign string, connections int, servers ...*procs.APIServer) *drop.Crowd {
	options := drop.Options{Campaign: campaign, Connections: connections, Insist: true}
	for _, server := range servers {
		options.Servers = append(options.Servers, server.URL)
	}
	crowd := drop.NewCrowd(options, journal)
	s.tb.Cleanup(crowd.Close)
	return crowd
}

// journal returns a journal that is on the disk.
func (s *site) journal() *drop.Journal {
	s.tb.Helper()
	journal, err := drop.OpenJournal(filepath.Join(s.Dir, "journal-"+testenv.Campaign()))
	require.NoError(s.tb, err)
	s.tb.Cleanup(func() { require.NoError(s.tb, journal.Close()) })
	return journal
}

// settle lets everybody whose last answer is "pending" come back until the answer is a promise or a refusal.
func (s *site) settle(crowd *drop.Crowd, journal *drop.Journal) {
	s.tb.Helper()
	await(s.tb, "everybody has a final answer", func() bool {
		var open []drop.Apply
		for apply, answer := range lastAnswers(journal) {
			if answer.HTTP < 300 && !answer.Binding() {
				open = append(open, apply)
			}
		}
		require.NoError(s.tb, crowd.Run(s.tb.Context(), open))
		return len(open) == 0
	})
}

// rest waits until the consumers have finished everything and the campaign has its rows.
func (s *site) rest(campaign string, rows int) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), patience)
	defer cancel()
	rest, err := drop.WaitForRest(ctx, s.db, campaign, drop.Wait{Rows: int64(rows), Backlog: s.Backlog})
	require.NoError(s.tb, err)
	require.EqualValues(s.tb, rows, rest.Rows)
}

// verdict compares the answers with the database, which must not differ in anything.
func (s *site) verdict(campaign string, journal *drop.Journal) drop.Verdict {
	s.tb.Helper()
	verdict, err := drop.Judge(s.tb.Context(), s.db, campaign, journal.Answers())
	require.NoError(s.tb, err)
	require.True(s.tb, verdict.OK(), "%s", verdict)
	return verdict
}

// number reads one number from the database.
func (s *site) number(query string, args ...any) (n int) {
	s.tb.Helper()
	require.NoError(s.tb, s.db.QueryRowContext(s.tb.Context(), query, args...).Scan(&n))
	return n
}

func (s *site) rows(campaign string) int {
	s.tb.Helper()
	return s.number(`SELECT COUNT(*) FROM coupons WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`, campaign)
}

func lastAnswers(journal *drop.Journal) map[drop.Apply]drop.Answer {
	last := map[drop.Apply]drop.Answer{}
	for _, answer := range journal.Answers() {
		last[drop.Apply{User: answer.User, N: answer.N}] = answer
	}
	return last
}

// await looks until the condition holds.
func await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(tb, "not within "+patience.String()+": "+what)
		}
	}
}
