package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/lab/trial"
)

// Write writes a page, and its plots into the folder of its name beside it: lab beside lab.md. Results that do not compare
// are an error.
func Write(path string, kept []Kept) error {
	for _, k := range kept {
		if !k.About.Same(kept[0].About) {
			return fmt.Errorf("results of %+v and of %+v are not to be compared", kept[0].About, k.About)
		}
	}
	plots := strings.TrimSuffix(path, filepath.Ext(path))
	if err := os.MkdirAll(plots, 0o755); err != nil { //nolint:gosec // documentation is for everybody
		return err
	}
	var all []trial.Result
	for _, k := range kept {
		all = append(all, k.Results...)
	}
	if err := draw(plots, all); err != nil {
		return err
	}
	p := &page{all: all, plots: filepath.Base(plots)}
	p.head(kept[0].About)
	p.summary()
	p.errors()
	p.costs()
	p.locks()
	p.memory()
	p.others()
	p.paragraphs()
	return os.WriteFile(path, []byte(p.String()), 0o644) //nolint:gosec // as above
}

// page is a page as it grows.
type page struct {
	strings.Builder
	all   []trial.Result
	plots string // their folder
}

func (p *page) say(format string, args ...any) { _, _ = fmt.Fprintf(p, format+"\n", args...) }

func (p *page) head(about About) {
	p.say(`# The lab: the known ways to serve the first who come

` + "`make lab`" + ` writes lab.md and ` + "`SEONCHAK_MYSQL=mysql make lab`" + ` lab-mysql.md, each on the database server that it names. Every strategy is
one file in [tools/lab/strategy](../tools/lab/strategy), served by the same gin handler, on the same stores, to the same crowds; the
pipeline is the product as it is, over HTTP, with its consumer. ` + "`make lab STRATEGY=for-update`" + ` runs one.
`)
	p.say("The database server of this page is **%s**. Measured on %s, commit %s: %s; %s; %s; `%s`.", about.Database, about.Date, about.Commit, about.Machine, about.Stores, about.Go, about.Command)
	p.say("The crowd, the servers and the stores share these cores, so a figure says how the strategies stand to each other and nothing about a")
	p.say("larger machine. Each is of one run.\n\n| workload | the crowd |\n|---|---|")
	p.say("| drop | %s users come once each for %s places, %d at a time; whoever comes after the time of the trial is over is not let in |",
		number(p.all[0].Applies), number(p.all[0].Limit), trial.Usual)
	p.say("| double-click | a fifth of the users click 5 times at once each, for as many places |")
	p.say("| contention | %s times 10 points are added to one account, %d at a time |", number(trial.Adds), trial.Usual)
	p.say("| booking | %d users want one seat; the first three who get it give it back |", trial.Seekers)
	p.say("| members | up to %s users get a place each, to see what they take in Redis; of %s, at one server and without a crash |",
		number(trial.Growth[len(trial.Growth)-1]), trial.Remembering)
	p.say(`
Each with one server and with two, without and with a crash: a server of a strategy is killed (SIGKILL) halfway between two writes that
belong together, and started again; the api-server and the consumer of the pipeline both at once, at any moment in the middle of
the grants, and in a booking the api-server alone. A user who gets no answer, or is told to come again, does so for 5 s.

| column | counts |
|---|---|
| over | places beyond the limit |
| twice | places or rewards of a user beyond the first |
| lost | users who were told yes, or to wait, and have nothing; of points, updates that are gone |
| burned | places that nobody has or was promised, although users were told that all are gone |
| wrong | answers that the record or another answer contradicts |
| miscounted | how far the strategy's own count is from its rows |
| unordered | users who were served before somebody who had asked and been answered earlier |
| unanswered | users who still had no answer after 5 s |

What a load shows depends on luck. That every verdict is reached is shown without luck: ` + "`tools/lab/trial/verdict_test.go`" + ` holds two
requests between the read and the write, and kills a server halfway.
`)
}

func number(n int) string { return drop.Number(int64(n)) }

func (p *page) find(name, workload string, servers int, crash bool) (trial.Result, bool) {
	for _, r := range p.all {
		if r.Strategy == name && r.Workload == workload && r.Servers == servers && r.Crash == crash && (workload == trial.Booking || r.Connections == trial.Usual) {
			return r, true
		}
	}
	return trial.Result{}, false
}

// errors shows what was wrong in drop and double-click together.
func (p *page) errors() {
	p.say("## What each gets wrong\n\nDrop and double-click together. A dash: the strategy was too slow to come to the limit, or to\nthe crash.\n")
	p.say("| strategy | 1 server | 2 servers | crash, 1 server | crash, 2 servers |\n|---|---|---|---|---|")
	for _, name := range Names() {
		p.say("| %s | %s | %s | %s | %s |", name, p.both(name, 1, false), p.both(name, 2, false), p.both(name, 1, true), p.both(name, 2, true))
	}
	p.say("\n![errors by kind](%s/errors.svg)\n", p.plots)
}

func (p *page) both(name string, servers int, crash bool) string {
	var sum trial.Verdict
	held, tried := false, true
	for _, workload := range []string{trial.Drop, trial.DoubleClick} {
		r, ok := p.find(name, workload, servers, crash)
		if !ok {
			continue
		}
		held, tried = true, tried && r.Tried()
		if r.Tried() {
			sum = sum.Plus(r.Verdict)
		}
	}
	if !held || !tried && sum.Right() {
		return "–"
	}
	return Errors(sum)
}

// others shows the two workloads that not every strategy is for.
func (p *page) others() {
	for _, workload := range []string{trial.Contention, trial.Booking} {
		p.say("## %s%s\n", strings.ToUpper(workload[:1]), workload[1:])
		p.say("| strategy | 1 server | 2 servers | crash, 1 server | crash, 2 servers | until the end, s | p99 ms | retries |\n|---|---|---|---|---|---:|---:|---:|")
		for _, name := range Names() {
			r, ok := p.find(name, workload, 1, false)
			if !ok {
				continue
			}
			p.say("| %s | %s | %s | %s | %s | %.1f | %.1f | %s |", name, p.one(name, workload, 1, false), p.one(name, workload, 2, false),
				p.one(name, workload, 1, true), p.one(name, workload, 2, true), r.Seconds, r.P99, ofServers(r, "%d", r.Retries))
		}
		p.say("")
	}
	p.say("A place that was given back is free for the next at once in a database; in the pipeline it goes through the record to all servers and to")
	p.say("Redis, which takes seconds.\n")
}

func (p *page) one(name, workload string, servers int, crash bool) string {
	r, ok := p.find(name, workload, servers, crash)
	if !ok || !r.Tried() {
		return "–"
	}
	return Errors(r.Verdict)
}

func (p *page) paragraphs() {
	p.say("## When each is the right choice\n")
	for _, s := range strategy.All {
		p.say("**%s.** %s %s\n", s.Name, s.What, strings.ReplaceAll(s.When, "\n", " "))
	}
	p.say("**pipeline.** One script in Redis decides for all who wait, Kafka makes the promise durable, a consumer makes the rows in batches; a")
	p.say("record of what is under way, epochs and a last wall in MySQL hold the promises when any of them dies. When a crowd comes that the")
	p.say("database should not meet. It needs three stores and people who can run them: who has one database and a small crowd takes")
	p.say("atomic-update.\n")
	p.say("**pipeline-paced.** The same with a consumer that makes at most 500 rows a second (`ISSUE_RATE`): the answers stay as fast, the rows come")
	p.say("later. When something else lives on that database.")
}
