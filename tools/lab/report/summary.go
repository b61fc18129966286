package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seonchak/seonchak/tools/lab/trial"
)

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

// right reports whether nothing was wrong in any trial of a strategy.
func (p *page) right(name string) bool {
	return !slices.ContainsFunc(p.all, func(r trial.Result) bool { return r.Strategy == name && !r.Verdict.Right() })
}

// exact reports whether a strategy was right and each of its trials came to what it is held for.
func (p *page) exact(name string) bool {
	return p.right(name) && !slices.ContainsFunc(p.all, func(r trial.Result) bool { return r.Strategy == name && !r.Tried() })
}
