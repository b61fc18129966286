package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

// faultDeleteRow takes the last row away: a promise that was not kept.
const faultDeleteRow = "delete-row"

// demo is one run: a site of its own, a campaign and a crowd.
type demo struct {
	settings
	stores   procs.Stores
	getenv   func(string) string
	out      io.Writer
	progress progress

	site     *procs.Site
	db       *sql.DB
	server   *procs.APIServer
	campaign string
	journal  *drop.Journal
}

func (d *demo) run(ctx context.Context, logs string) error {
	if err := d.start(ctx, logs); err != nil {
		return err
	}
	if err := d.open(ctx); err != nil {
		return err
	}
	if err := d.apply(ctx); err != nil {
		return err
	}
	rest, err := d.rest(ctx)
	if err != nil {
		return err
	}
	wrong := d.judge(ctx, rest)
	if d.stay && (wrong == nil || errors.Is(wrong, errWrong)) {
		d.showHow()
		<-ctx.Done()
	}
	return wrong
}

// start brings up the programs on a database and a consumer group of their own, so that nothing left over disturbs them.
func (d *demo) start(ctx context.Context, logs string) (err error) {
	d.say("stores      %s", describe(ctx, d.stores, d.getenv("SEONCHAK_STORES")))
	if d.site, err = procs.NewSite(ctx, d.stores, d.bin, logs); err != nil {
		return err
	}
	if d.db, err = drop.Open(d.site.DSN); err != nil {
		return err
	}
	if _, err = d.site.StartConsumer(ctx); err != nil {
		return err
	}
	if d.server, err = d.site.StartAPIServer(ctx); err != nil {
		return err
	}
	d.say("api-server  %s (operators: %s)", d.server.URL, d.server.Admin)
	d.say("console     n/a")
	return nil
}

// open creates the campaign, and returns when the server takes applies for it.
func (d *demo) open(ctx context.Context) error {
	d.campaign = "demo-" + token()
	now := time.Now().UTC()
	wish := map[string]any{
		"id": d.campaign, "name": "Demo", "limit": d.limit, "status": "active",
		"starts_at": now.Add(-time.Minute).Format(time.RFC3339), "ends_at": now.Add(24 * time.Hour).Format(time.RFC3339),
	}
	body, err := json.Marshal(wish)
	if err != nil {
		return err
	}
	if _, err := call(ctx, http.MethodPost, d.server.Admin+"/admin/v1/campaigns", body, http.StatusCreated); err != nil {
		return err
	}
	d.say("campaign    %s, %s coupons", d.campaign, drop.Number(int64(d.limit)))
	return d.awaitOpen(ctx)
}

func (d *demo) awaitOpen(ctx context.Context) error {
	const bound, poll = 10 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		body, err := call(ctx, http.MethodGet, d.server.URL+"/v1/campaigns/"+d.campaign, nil, http.StatusOK)
		if err == nil && bytes.Contains(body, []byte(`"availability":"open"`)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the campaign does not open: %s: %w", body, ctx.Err()), err)
		case <-time.After(poll):
		}
	}
}

func (d *demo) apply(ctx context.Context) error {
	d.say("crowd       %s applies by %s users on %d connections, --seed %d",
		drop.Number(int64(d.applies)), drop.Number(int64(d.users)), d.connections, d.seed)
	d.journal = drop.NewJournal()
	crowd := drop.NewCrowd(drop.Options{
		Servers: []string{d.server.URL}, Campaign: d.campaign, Connections: d.connections,
	}, d.journal)
	defer crowd.Close()
	stop := d.progress.follow("applies", int64(d.applies), func() int64 { return d.journal.Tally().Tries })
	defer stop()
	return crowd.Run(ctx, drop.Plan(drop.Users(d.users), d.applies, d.seed))
}

func (d *demo) rest(ctx context.Context) (drop.Rest, error) {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	promised, _ := d.journal.Promises()
	return drop.WaitForRest(ctx, d.db, d.campaign, drop.Wait{Rows: promised, Backlog: d.site.Backlog})
}

func (d *demo) judge(ctx context.Context, rest drop.Rest) error {
	if err := d.plant(ctx); err != nil {
		return err
	}
	verdict, err := drop.Judge(ctx, d.db, d.campaign, d.journal.Answers())
	if err != nil {
		return err
	}
	d.say("\n%s", verdict)
	d.figures(rest)
	if !verdict.OK() {
		return errWrong
	}
	d.say("\nExactly as many coupons as there were, one each, and every promise is a row.")
	return nil
}

func (d *demo) plant(ctx context.Context) error {
	if d.fault == "" {
		return nil
	}
	_, err := d.db.ExecContext(ctx, `DELETE FROM coupons ORDER BY serial DESC LIMIT 1`)
	if err != nil {
		return fmt.Errorf("plant the fault: %w", err)
	}
	d.say("fault       the last row was deleted")
	return nil
}

// figures says what the crowd was told, and how fast.
func (d *demo) figures(rest drop.Rest) {
	tally := d.journal.Tally()
	first, last := d.journal.Span()
	_, promised := d.journal.Promises()
	p50, p99 := d.journal.Latency()
	d.say("applies %s", drop.Number(tally.Tries))
	d.say("granted %s", drop.Number(tally.Granted))
	d.say("replayed %s", drop.Number(tally.Replayed))
	d.say("pending %s", drop.Number(tally.Pending))
	for _, code := range tally.Codes() {
		d.say("%s %s", code, drop.Number(tally.Refused[code]))
	}
	d.say("unknown %s", drop.Number(tally.Unknown))
	d.say("applies_per_s %s", drop.Number(int64(float64(tally.Tries)/last.Sub(first).Seconds())))
	d.say("p50_ms %.1f", milliseconds(p50))
	d.say("p99_ms %.1f", milliseconds(p99))
	if !rest.LastRow.IsZero() {
		d.say("last_row_after_last_promise_s %.2f", max(0, rest.LastRow.Sub(promised).Seconds()))
	}
	if _, peak, err := d.server.Memory(); err == nil { // it can be read on Linux only
		d.say("api_server_peak_rss_mb %d", peak>>20)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// showHow prints commands that work as long as the demo stays.
func (d *demo) showHow() {
	campaign := d.server.URL + "/v1/campaigns/" + d.campaign
	winner := "me"
	for _, a := range d.journal.Answers() {
		if a.Binding() {
			winner = a.User
			break
		}
	}
	d.say("\nTry it; Ctrl-C ends it:")
	d.say("  curl -s %s", campaign)
	d.say("  curl -s -X POST -H 'X-User-Id: me' %s/apply", campaign)
	d.say("  curl -s -X POST -H 'X-User-Id: %s' %s/apply", winner, campaign)
	d.say("  curl -s -H 'X-User-Id: %s' %s/claims", winner, campaign)
	d.say("  curl -s %s/admin/v1/campaigns/%s/stats", d.server.Admin, d.campaign)
}

// close ends the programs and drops the database.
func (d *demo) close() error {
	var failed error
	if d.db != nil {
		failed = d.db.Close()
	}
	if d.site != nil {
		failed = errors.Join(failed, d.site.Close())
	}
	return failed
}

func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...) // who does not read cannot be told
}

// call makes a request of the servers and returns the body of the answer, which must have the status.
func call(ctx context.Context, method, url string, body []byte, status int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		return content, fmt.Errorf("%s %s: %s: %s", method, url, response.Status, content)
	}
	return content, nil
}

func token() string { return strings.ToLower(rand.Text()[:10]) }
