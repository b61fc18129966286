package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/compare"
	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/memory"
	"github.com/seonchak/seonchak/tools/load/report"
	"github.com/seonchak/seonchak/tools/load/setup"
)

// shop is a server that gives out coupons and keeps its rows in a database, as long as it is not told to lie.
type shop struct {
	t        *testing.T
	dsn      string
	address  string
	campaign string
	limit    int

	mu      sync.Mutex
	db      *sql.DB
	id      int64
	serials map[string]int
	lie     func(serial int) bool // grants without a row
}

func newShop(t *testing.T, limit int) *shop {
	t.Helper()
	s := &shop{t: t, dsn: testenv.MySQL(t), campaign: testenv.Campaign(), limit: limit, serials: map[string]int{}}
	var err error
	s.db, err = drop.Open(s.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.db.Close() })
	s.exec(`INSERT INTO campaigns (slug, name, limit_count, issued, status, epoch, epoch_state, starts_at, ends_at, created_at, updated_at)
		VALUES (?, 'Test', ?, 0, 'active', 1, 'active', '2026-01-01', '2036-01-01', '2026-01-01', '2026-01-01')`, s.campaign, limit)
	require.NoError(t, s.db.QueryRow(`SELECT id FROM campaigns WHERE slug = ?`, s.campaign).Scan(&s.id))
	server := httptest.NewServer(http.HandlerFunc(s.apply))
	t.Cleanup(server.Close)
	s.address = server.Listener.Addr().String()
	return s
}

func (s *shop) exec(statement string, args ...any) {
	if _, err := s.db.Exec(statement, args...); err != nil {
		s.t.Error(err)
	}
}

func (s *shop) apply(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := r.Header.Get("X-User-Id")
	serial, holds := s.serials[user]
	if !holds && len(s.serials) == s.limit {
		w.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprint(w, `{"status":409,"code":"sold_out"}`)
		return
	}
	w.Header().Set("Location", "somewhere")
	if holds {
		w.Header().Set("Idempotent-Replayed", "true")
	} else {
		serial = s.grant(user)
		w.WriteHeader(http.StatusAccepted)
	}
	_, _ = fmt.Fprintf(w, `{"campaign_id":%q,"user_id":%q,"n":1,"serial":%d,"status":"accepted"}`, s.campaign, user, serial)
}

func (s *shop) grant(user string) (serial int) {
	serial = len(s.serials) + 1
	s.serials[user] = serial
	if s.lie == nil || !s.lie(serial) {
		s.exec(`INSERT INTO coupons (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at) VALUES (?, ?, ?, 1, 1, '', NOW(), NOW())`,
			s.id, serial, user)
		s.exec(`UPDATE campaigns SET issued = issued + 1 WHERE id = ?`, s.id)
	}
	return serial
}

// at returns the arguments that load this shop.
func (s *shop) at(more ...string) []string {
	return append([]string{
		"run", "--server", s.address, "--campaign", s.campaign, "--profile", "double-click", "--users", "300", "--over", "100ms",
		"--connections", "16", "--seed", "9",
	}, more...)
}

// do runs the program and returns its exit code and what it wrote.
func do(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

func TestAnHonestShop(t *testing.T) {
	t.Parallel()
	s := newShop(t, 20)
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	code, stdout, stderr := do(t, s.at("--dsn", s.dsn, "--json", file, "--svg", dir)...)
	require.Zero(t, code, stderr)
	for _, figure := range []string{"issued 20\n", "over 0\n", "twice 0\n", "lost 0\n", "wrong 0\n"} {
		require.Contains(t, stdout, figure)
	}
	require.Contains(t, stderr, "applies 600 of 600")
	require.FileExists(t, filepath.Join(dir, "latency.svg"))

	content, err := os.ReadFile(file)
	require.NoError(t, err)
	var told struct {
		Applies, Right int64
		Kinds          []struct {
			Kind  string
			Count int64
		}
		Verdicts []verdict
		Setup    setup.Setup
	}
	require.NoError(t, json.Unmarshal(content, &told))
	require.EqualValues(t, 600, told.Applies)
	require.EqualValues(t, 600, told.Right)
	counts := map[string]int64{}
	for _, k := range told.Kinds {
		counts[k.Kind] = k.Count
	}
	require.Equal(t, map[string]int64{
		"accepted": 20, "issued": 0, "replayed": 20, "sold_out": 560, "pending": 0, "overloaded": 0, "other": 0, "unknown": 0,
	}, counts)
	require.Len(t, told.Verdicts, 1)
	require.True(t, told.Verdicts[0].OK)
	require.Equal(t, "16", told.Setup.Settings["connections"])
	require.Positive(t, told.Setup.Machine.Cores)
	require.Contains(t, stdout, told.Setup.String())
	require.NotContains(t, stdout, "not compared")
}

func TestRowsThatAreNotComparedAreSaidToBe(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := do(t, newShop(t, 20).at()...)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "the rows were not compared with the answers")
}

func TestALoadThatGotNothingFails(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"status":404,"code":"campaign_not_found"}`)
	}))
	t.Cleanup(server.Close)
	code, stdout, stderr := do(t, "run", "--server", server.Listener.Addr().String(), "--campaign", "c", "--users", "10", "--over", "10ms")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "404 campaign_not_found: 10")
	require.Contains(t, stderr, "no right answer came")
}

func TestALiarIsFound(t *testing.T) {
	t.Parallel()
	s := newShop(t, 20)
	s.lie = func(serial int) bool { return serial == 7 }
	code, stdout, stderr := do(t, s.at("--dsn", s.dsn, "--model", "closed")...)
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "lost 1\n")
	require.Contains(t, stderr, "something is wrong")
}

func TestAnInterruptedLoadSaysSo(t *testing.T) {
	t.Parallel()
	s := newShop(t, 20)
	ctx, interrupt := context.WithCancel(t.Context())
	s.lie = func(serial int) bool {
		if serial == 3 {
			interrupt()
		}
		return false
	}
	file := filepath.Join(t.TempDir(), "shard")
	var stdout, stderr bytes.Buffer
	require.Equal(t, 1, run(ctx, s.at("--over", "1h", "--users", "300000", "--out", file), &stdout, &stderr))
	require.Contains(t, stderr.String(), "interrupted after ")
	require.Contains(t, stdout.String(), "applies in")
	require.FileExists(t, file)
}

func TestAFileThatCannotBeWrittenCostsNoReport(t *testing.T) {
	t.Parallel()
	s := newShop(t, 20)
	code, stdout, stderr := do(t, s.at("--out", filepath.Join(t.TempDir(), "no", "such", "folder"))...)
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "600 applies in")
	require.Contains(t, stderr, "no such file")
}

func TestTheSecretInAFileIsALine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("a secret\r\n"), 0o600))
	f := runFlags{auth: "jwt", secret: file}
	secret, err := f.readSecret()
	require.NoError(t, err)
	require.Equal(t, "a secret", string(secret))
}

func TestShardsAreMerged(t *testing.T) {
	t.Parallel()
	s := newShop(t, 20)
	dir := t.TempDir()
	var files []string
	for i := range 3 {
		file := filepath.Join(dir, fmt.Sprint(i))
		code, _, stderr := do(t, s.at("--shard", fmt.Sprintf("%d/3", i), "--out", file)...)
		require.Zero(t, code, stderr)
		files = append(files, file)
	}
	code, stdout, stderr := do(t, append([]string{"merge", "--dsn", s.dsn}, files...)...)
	require.Zero(t, code, stdout+stderr)
	require.Contains(t, stdout, "600 applies in")
	require.Contains(t, stdout, "issued 20\n")

	code, stdout, stderr = do(t, append([]string{"merge", "--dsn", s.dsn}, files[1:]...)...)
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "shard 0/3 is missing")
	code, _, stderr = do(t, "merge", files[0], files[0])
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "shard 0/3 is there twice")
}

func TestHowManyCampaignsThereAreUnlessSaid(t *testing.T) {
	t.Parallel()
	for wanted, args := range map[int][]string{1: {}, 3: {"--profile", "mixed"}, 2: {"--campaigns", "2", "--profile", "mixed"}, 5: {"--campaigns", "5"}} {
		f := &runFlags{}
		command := f.command()
		command.RunE = func(c *cobra.Command, _ []string) error {
			_, err := f.check(c.Flags())
			return err
		}
		command.SetArgs(args)
		require.NoError(t, command.Execute())
		require.Equal(t, wanted, f.plan.Campaigns, "%q", args)
	}
}

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names string // what the message names
		args  []string
	}{
		{"fly", []string{"fly"}},
		{"--fast", []string{"run", "--fast"}},
		{"extra", []string{"run", "extra"}},
		{"arg", []string{"merge"}},
		{"--model", []string{"run", "--model", "half"}},
		{"--auth", []string{"run", "--auth", "basic"}},
		{"--profile", []string{"run", "--profile", "storm"}},
		{"--users", []string{"run", "--users", "0"}},
		{"--users", []string{"run", "--users", "18446744073709551615"}},
		{"--over", []string{"run", "--over", "-1s"}},
		{"--timeout", []string{"run", "--timeout", "0"}},
		{"--campaigns", []string{"run", "--campaigns", "0"}},
		{"--campaign ", []string{"run", "--server", "x:1"}},
		{"--server", []string{"run", "--shard", "1/2"}},
		{"--shard", []string{"run", "--server", "x:1", "--campaign", "c", "--shard", "2/2"}},
		{"--secret-file", []string{"run", "--server", "x:1", "--campaign", "c", "--auth", "jwt"}},
		{"--secret-file", []string{"run", "--auth", "jwt", "--secret-file", "/no/such/file"}},
		{"--begin", []string{"run", "--begin", "noon"}},
		{"--claims", []string{"memory", "--claims", "0"}},
		{"--paths", []string{"compare", "--paths", "up"}},
		{"--shares", []string{"compare", "--shares", "0"}},
		{"--events", []string{"compare", "--events", "0"}},
		{"--rounds", []string{"compare", "--rounds", "0"}},
		{"--floors", []string{"floors", "--floors", "cellar"}},
		{"--hot", []string{"compare", "--hot", "0"}},
		{"--open", []string{"compare", "--open", "3", "--hot", "4"}},
	} {
		code, stdout, stderr := do(t, c.args...)
		require.Equal(t, 2, code, "%q", c.args)
		require.Empty(t, stdout, "%q", c.args)
		require.True(t, strings.HasPrefix(stderr, "load: "), "%q: %s", c.args, stderr)
		require.Contains(t, stderr, c.names, "%q", c.args)
	}
	code, stdout, _ := do(t, "run", "--help")
	require.Zero(t, code)
	require.Contains(t, stdout, "--profile")
}

// build returns a folder with the programs of this source tree.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range []string{"api-server", "consumer", "batch", filepath.Join("tools", "load")} {
		command := exec.Command("go", "build", "-o", filepath.Join(dir, filepath.Base(program)), ".")
		command.Dir = filepath.Join("..", "..", program)
		output, err := command.CombinedOutput()
		require.NoError(t, err, "build %s: %s", program, output)
	}
	return dir
}

// TestThePrograms loads real programs on real stores. It says nothing about speed.
func TestThePrograms(t *testing.T) {
	t.Parallel()
	testenv.Redis(t)
	testenv.Kafka(t)
	testenv.EmptyDatabase(t)
	bin := build(t)
	load := func(args ...string) string {
		var stderr bytes.Buffer
		command := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, "load"), append(args, "--bin", bin)...)
		command.Stderr = &stderr
		stdout, err := command.Output()
		require.NoError(t, err, "%s%s", stdout, stderr.String())
		return string(stdout)
	}
	stdout := load("run", "--auth", "jwt", "--profile", "mixed", "--limit", "50", "--users", "1000", "--over", "3s")
	require.Equal(t, mixedCampaigns, strings.Count(stdout, "issued 50\n"), stdout)

	table := filepath.Join(bin, "table.json")
	load("compare", "--auth", "jwt", "--rounds", "1", "--lasts", "300ms", "--connections", "16",
		"--paths", "grant-consumer", "--floors", "gin,gin+evalsha,redis,kafka,mysql", "--json", table)
	rows := rowsIn(t, table)
	require.Len(t, rows, 5)
	for _, row := range rows {
		require.Positive(t, row.Rate, row)
		require.Positive(t, row.FloorRate, row)
		require.InDelta(t, row.Rate/row.FloorRate, row.Ratio.Median, 1e-9, row)
		require.NotNil(t, row.Drain, row)
		require.GreaterOrEqual(t, row.Judged, row.Rounds[0].Right, "the rows of the round that warms up, too")
	}

	load("compare", "--rounds", "2", "--lasts", "300ms", "--connections", "16", "--paths", "latency,drain", "--json", table)
	rows = rowsIn(t, table)
	require.Len(t, rows, 4)
	maximum, last := rows[0], rows[3]
	for i, producer := range []string{floor.Writer, floor.Own} {
		half := rows[1+i]
		require.Equal(t, []string{"latency 50 %", producer}, []string{half.Path, half.Floor})
		first, second := half.Rounds[0].P99.Seconds()/half.FloorRounds[0].P99.Seconds(), half.Rounds[1].P99.Seconds()/half.FloorRounds[1].P99.Seconds()
		require.InDelta(t, (first+second)/2, half.Ratio.Median, 1e-9)
		require.InDelta(t, maximum.Rounds[1].Rate()/2, half.Rounds[1].Offered, 1e-9)
		wanted := int64(maximum.Rounds[1].Rate() / 2 * 0.3) // the maximum is measured first in the second round
		require.Equal(t, wanted, half.Rounds[1].Right+half.Rounds[1].Other)
		require.Equal(t, wanted, half.FloorRounds[1].Right)
	}
	require.EqualValues(t, 30_000, last.Judged, "10,000 coupons in three rounds")
	require.Len(t, last.Rounds[0].Course, 101)

	stdout = load("compare", "--rounds", "2", "--connections", "16", "--paths", "backlog", "--events", "1500", "--json", table)
	require.Contains(t, stdout, "1,500 events: the last row after")
	rows = rowsIn(t, table)
	require.Len(t, rows, 1)
	require.EqualValues(t, 3_000, rows[0].Judged)
	require.Len(t, rows[0].Rounds, 2)
	for _, r := range rows[0].Rounds {
		require.GreaterOrEqual(t, r.Drained.Events, int64(1_500), "others may write to the log, too")
		require.Positive(t, r.Drained.LastRow)
		require.Equal(t, r.Took, r.Drained.LastRow)
		require.GreaterOrEqual(t, r.Drained.Highest, max(r.Drained.Ready, r.Drained.Warm, r.Drained.End))
		require.Positive(t, r.Drained.Warm)
	}

	stdout = load("memory", "--claims", "100", "--connections", "20", "--lasts", "100ms")
	for _, figure := range []string{memory.Idle, memory.Applying, memory.Settled, memory.Pending} {
		require.Contains(t, stdout, figure)
	}
	interruptCompare(t, bin)
}

func rowsIn(t *testing.T, table string) []compare.Row {
	t.Helper()
	content, err := os.ReadFile(table)
	require.NoError(t, err)
	var c report.Comparison
	require.NoError(t, json.Unmarshal(content, &c))
	require.NotEmpty(t, c.Setup.Versions["kafka"])
	return c.Rows
}

// interruptCompare sends Ctrl-C after the first whole round, and finds it in the table.
func interruptCompare(t *testing.T, bin string) {
	t.Helper()
	command := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, "load"),
		"compare", "--bin", bin, "--rounds", "1000", "--lasts", "100ms", "--paths", "replay")
	var stdout, said bytes.Buffer
	command.Stdout = &stdout
	stderr, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if said.WriteString(lines.Text() + "\n"); strings.HasPrefix(lines.Text(), "round 2 ") {
			_ = command.Process.Signal(os.Interrupt)
		}
	}
	require.Error(t, command.Wait())
	require.Equal(t, 1, command.ProcessState.ExitCode(), said.String())
	require.Contains(t, said.String(), "interrupted: only whole rounds are in the table")
	require.Regexp(t, `replay +gin +\d`, stdout.String())
}
