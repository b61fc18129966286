package report

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// right reports whether nothing was wrong in any trial of a strategy.
func (p *page) right(name string) bool {
	return !slices.ContainsFunc(p.all, func(r trial.Result) bool { return r.Strategy == name && !r.Verdict.Right() })
}

// exact reports whether a strategy was right and each of its trials came to what it is held for.
func (p *page) exact(name string) bool {
	return p.right(name) && !slices.ContainsFunc(p.all, func(r trial.Result) bool { return r.Strategy == name && !r.Tried() })
}

func (p *page) find(name, workload string, servers int, crash bool) (trial.Result, bool) {
	for _, r := range p.all {
		if r.Strategy == name && r.Workload == workload && r.Servers == servers && r.Crash == crash && (workload == trial.Booking || r.Connections == trial.Usual) {
			return r, true
		}
	}
	return trial.Result{}, false
}

// summary says who was exact, and how fast these are.
func (p *page) summary() {
	var exact, others []trial.Result
	var open []string
	for _, name := range Names() {
		r, ok := p.find(name, trial.Drop, 1, false)
		switch {
		case !ok:
		case p.exact(name):
			exact = append(exact, r)
		case p.right(name):
			open = append(open, name)
		default:
			others = append(others, r)
		}
	}
	p.say("## What came of it\n\nNothing was wrong in any trial of these. The figures are of the drop at one server, but for the last two columns: these add up")
	p.say("all drops and double clicks. An answer is a grant or a refusal; a slow strategy never gets as far as refusing.\n")
	p.say("| exact | answers/s | grants/s | unordered | unanswered |\n|---|---:|---:|---:|---:|")
	slices.SortStableFunc(exact, func(a, b trial.Result) int { return cmp.Compare(b.PerSecond, a.PerSecond) })
	for _, r := range exact {
		all := p.sum(r.Strategy)
		p.say("| %s | %.0f | %.0f | %d | %d |", r.Strategy, r.PerSecond, r.GrantsRate, all.Unordered, all.Unanswered)
	}
	p.say("")
	if len(open) > 0 {
		p.say("Nothing was wrong with these either, but in a trial or more they were too slow to come to the limit, or to the crash: %s.\n", strings.Join(open, ", "))
	}
	p.standing(exact, others)
	p.say("![throughput of the exact](%[1]s/throughput-exact.svg)\n\n![throughput of the others](%[1]s/throughput-others.svg)\n", p.plots)
}

// sum adds up the drops and double clicks of a strategy.
func (p *page) sum(name string) (all trial.Verdict) {
	for _, r := range p.all {
		if r.Strategy == name && (r.Workload == trial.Drop || r.Workload == trial.DoubleClick) {
			all = all.Plus(r.Verdict)
		}
	}
	return all
}

// standing says where the pipeline is not first.
func (p *page) standing(exact, others []trial.Result) {
	at := slices.IndexFunc(exact, func(r trial.Result) bool { return r.Strategy == trial.Pipeline })
	if at < 0 {
		p.say("**The pipeline is not among them.**\n")
		return
	}
	p.say("Of the exact ones these had more answers a second than the pipeline: %s; more grants a second: %s. It is not the only exact one: a", ahead(exact, exact[at], answers),
		ahead(exact, exact[at], grants))
	p.say("database that does all of it in one transaction is exact too, as long as it can carry the crowd. Of those that get something wrong these had")
	p.say("more answers a second: %s; more grants: %s.\n", ahead(others, exact[at], answers), ahead(others, exact[at], grants))
}

func answers(r trial.Result) float64 { return r.PerSecond }

func grants(r trial.Result) float64 { return r.GrantsRate }

// ahead names those that are faster than the product; the paced one is the product, too.
func ahead(results []trial.Result, product trial.Result, by func(trial.Result) float64) string {
	var names []string
	for _, r := range results {
		if by(r) > by(product) && r.Strategy != trial.PipelinePaced {
			names = append(names, r.Strategy)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
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

// costs shows the drop at one server.
func (p *page) costs() {
	p.say(`## What each costs

The drop at one server. Statements are all that the database server carried out, for those who were refused too. "Unrelated" is the
latency of another table's query on the same database, due every 5 ms and counted from then, in two windows: until the last grant, and
until the last row. Where the first lasts 0.2 s it has 40 queries, and its p99 is nearly the longest. A grant of a database is a row; one of the pipeline,
or of a queue, is a promise whose row follows: "last row" is when the last one was there, after the first request. Repeats are of the
users, who had no answer or were told to come again; retries are of the servers, and those of the pipeline are not known.
`)
	p.say("| strategy | answers/s | grants/s | last row after, s | p50 ms | p99 ms | repeats | retries/grant | deadlocks | lock time-outs | unordered | unanswered | statements/grant | unrelated until the last grant, p50 ms | p99 ms | until the last row, p50 ms | p99 ms | Redis bytes/grant |")
	p.say("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, name := range Names() {
		r, ok := p.find(name, trial.Drop, 1, false)
		if !ok {
			continue
		}
		grants := float64(max(1, r.Granted))
		p.say("| %s | %.0f | %.0f | %.2f | %.1f | %.1f | %d | %s | %s | %s | %d | %d | %.1f | %.1f | %.1f | %.1f | %.1f | %.0f |", name, r.PerSecond, r.GrantsRate,
			r.LastRow, r.P50, r.P99, r.Repeats, ofServers(r, "%.1f", float64(r.Retries)/grants), ofServers(r, "%d", r.Deadlocks), ofServers(r, "%d", r.TimeOuts), r.Verdict.Unordered, r.Verdict.Unanswered, r.Statements,
			r.OtherP50, r.OtherP99, r.RowsP50, r.RowsP99, float64(r.Memory)/grants)
	}
	p.say("\nThe unrelated query waits for the cores, too, and who answers ten times as many a second takes more of them: where it is slower beside the")
	p.say("pipeline than beside a database that does all of it, that is the likely reason; we had no separate machines.\n")
}

// locking are the strategies whose waits are shown: one that queues at a row, one that holds it for a statement only, and one
// whose readers lock each other out.
var locking = []string{"for-update", "atomic-update", "isolation-serializable"}

// locks shows what waits for rows as more come at once.
func (p *page) locks() {
	p.say(`## Waiting for a row, as more come

The drop at one server. Lock waits are those that the database server counted, and how long one took on average; time-outs (after 2 s)
and deadlocks are counted by the servers, which then try again. A server has 32 connections to the database: who finds none waits in
the server, and no database sees more than 32 at once.
`)
	p.say("| strategy | at once | answers/s | p50 ms | p99 ms | lock waits | ms a wait | lock time-outs | deadlocks | unanswered |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, name := range locking {
		for _, r := range sweep(p.all, name) {
			p.say("| %s | %d | %.0f | %.1f | %.1f | %s | %.1f | %d | %d | %d |", name, r.Connections, r.PerSecond, r.P50, r.P99,
				number(int(r.LockWaits)), float64(r.LockWaited)/float64(max(1, r.LockWaits)), r.TimeOuts, r.Deadlocks, r.Verdict.Unanswered)
		}
	}
	p.say("")
}

// memory shows what a set of members takes as it grows.
func (p *page) memory() {
	p.say("## What a set of members takes\n\nEvery user gets a place from %s, and stays in its set: nothing takes a member out. Names as short as `u-100000`.\n", trial.Remembering)
	p.say("| users | bytes in Redis | bytes/user | grants/s |\n|---:|---:|---:|---:|")
	for _, r := range p.all {
		if r.Workload == trial.Members {
			p.say("| %s | %s | %.0f | %.0f |", number(r.Granted), number(int(r.Memory)), float64(r.Memory)/float64(max(1, r.Granted)), r.GrantsRate)
		}
	}
	p.say("")
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
