package report

import "github.com/seonchak/seonchak/tools/lab/trial"

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
