package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
	"github.com/seonchak/seonchak/tools/progress"
	"github.com/seonchak/seonchak/tools/stage"
)

// faultDeleteRow takes the last row away: a promise that was not kept.
const faultDeleteRow = "delete-row"

// demo is one run: a site of its own, a campaign and a crowd.
type demo struct {
	settings
	stores procs.Stores
	getenv func(string) string
	out    io.Writer
	stderr io.Writer

	*stage.Stage
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
	if d.Stage, err = stage.New(ctx, stage.Options{Stores: d.stores, Bin: d.bin, Logs: logs}); err != nil {
		return err
	}
	if _, err = d.StartConsumer(ctx); err != nil {
		return err
	}
	d.say("api-server  %s (operators: %s)", d.Server.URL, d.Server.Admin)
	d.say("console     n/a")
	return nil
}

// open creates the campaign, and returns when the server takes applies for it.
func (d *demo) open(ctx context.Context) (err error) {
	if d.campaign, err = d.Open(ctx, d.limit); err != nil {
		return err
	}
	d.say("campaign    %s, %s coupons", d.campaign, drop.Number(int64(d.limit)))
	return nil
}

func (d *demo) apply(ctx context.Context) error {
	d.say("crowd       %s applies by %s users on %d connections, --seed %d",
		drop.Number(int64(d.applies)), drop.Number(int64(d.users)), d.connections, d.seed)
	d.journal = drop.NewJournal()
	crowd := drop.NewCrowd(drop.Options{
		Servers: []string{d.Server.URL}, Campaign: d.campaign, Connections: d.connections,
	}, d.journal)
	defer crowd.Close()
	stop := progress.Follow(d.stderr, "applies", int64(d.applies), func() int64 { return d.journal.Tally().Tries })
	defer stop()
	return crowd.Run(ctx, drop.Plan(drop.Users(d.users), d.applies, d.seed))
}

func (d *demo) rest(ctx context.Context) (drop.Rest, error) {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	promised, _ := d.journal.Promises()
	return drop.WaitForRest(ctx, d.DB, d.campaign, drop.Wait{Rows: promised, Backlog: d.Backlog})
}

func (d *demo) judge(ctx context.Context, rest drop.Rest) error {
	if err := d.plant(ctx); err != nil {
		return err
	}
	verdict, err := drop.Judge(ctx, d.DB, d.campaign, d.journal.Answers())
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
	_, err := d.DB.ExecContext(ctx, `DELETE FROM coupons ORDER BY serial DESC LIMIT 1`)
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
	if _, peak, err := d.Server.Memory(); err == nil { // it can be read on Linux only
		d.say("api_server_peak_rss_mb %d", peak>>20)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// showHow prints commands that work as long as the demo stays.
func (d *demo) showHow() {
	campaign := d.Server.URL + "/v1/campaigns/" + d.campaign
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
	d.say("  curl -s %s/admin/v1/campaigns/%s/stats", d.Server.Admin, d.campaign)
}

// close ends the programs and drops the database.
func (d *demo) close() error {
	if d.Stage == nil {
		return nil
	}
	return d.Close()
}

func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...) // who does not read cannot be told
}
