package drop

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// mostFindings is how many cases a Verdict describes in words; all are counted.
const mostFindings = 20

// Verdict is what a drop came to. Limit, Issued and Epoch are facts; every other figure counts faults.
type Verdict struct {
	Limit  int64 // places there were
	Issued int64 // rows
	Epoch  int64 // of the campaign; above 1 Redis lost its state, or was taken for it, at least once

	Over        int64 // places taken beyond the limit
	Under       int64 // places free although as many users were told that all are gone
	Twice       int64 // rows a user may not have, and users who were promised two serials
	Lost        int64 // promises without a row of that very user and serial
	Failed      int64 // live failed events: promises that wait for batch or an operator
	Wrong       int64 // answers that break the contract, by themselves or with what the same user was told before
	Phantom     int64 // rows of users who never applied
	Unordered   int64 // users who were served before others who had their answer before these applied
	Gaps        int64 // serials without a row among 1 to the limit and below the last; no fault after the first epoch
	Miscounted  int64 // how far the database's own count of places is from its rows
	Findings    []string
	unexplained int
}

// Figure is one figure of a Verdict.
type Figure struct {
	Name  string
	Value int64
	Fault bool // it should have been 0
}

// OK reports whether nothing is wrong.
func (v Verdict) OK() bool {
	for _, f := range v.Figures() {
		if f.Fault {
			return false
		}
	}
	return true
}

// Figures returns every figure in the order in which people want to know them.
func (v Verdict) Figures() []Figure {
	fault := func(name string, value int64) Figure { return Figure{name, value, value != 0} }
	return []Figure{
		{"limit", v.Limit, false},
		{"issued", v.Issued, false},
		fault("over", v.Over),
		fault("under", v.Under),
		fault("twice", v.Twice),
		fault("lost", v.Lost),
		fault("failed", v.Failed),
		fault("wrong", v.Wrong),
		fault("phantom", v.Phantom),
		fault("unordered", v.Unordered),
		{"gaps", v.Gaps, v.Gaps != 0 && v.Epoch <= 1},
		fault("miscounted", v.Miscounted),
	}
}

// String returns the figures and then the findings, one a line.
func (v Verdict) String() string {
	var b strings.Builder
	for _, f := range v.Figures() {
		b.WriteString(f.String() + "\n")
	}
	for _, finding := range v.Findings {
		b.WriteString("  " + finding + "\n")
	}
	if v.unexplained > 0 {
		fmt.Fprintf(&b, "  and %d more\n", v.unexplained)
	}
	return b.String()
}

// String returns the name and the value, such as "issued 1,000".
func (f Figure) String() string { return f.Name + " " + Number(f.Value) }

// Number writes n with commas between thousands.
func Number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Judge compares what the database holds of a campaign at rest with what a crowd was told. answers must be all that was
// told of the campaign: a row of somebody who is not among them counts as Phantom.
func Judge(ctx context.Context, db *sql.DB, campaign string, answers []Answer) (Verdict, error) {
	r, err := readRecord(ctx, db, campaign)
	if err != nil {
		return Verdict{}, fmt.Errorf("read campaign %s: %w", campaign, err)
	}
	v := Verdict{Limit: r.limit, Issued: int64(len(r.rows)), Epoch: r.epoch}
	people := histories(answers)
	v.judgeRows(r)
	v.judgeOwners(r, people)
	v.judgePromises(r, people)
	v.judgeAnswers(people)
	v.judgeOrder(people)
	return v, nil
}

// count adds cases to a figure and describes the first ones.
func (v *Verdict) count(figure *int64, cases int64, format string, args ...any) {
	if cases <= 0 {
		return
	}
	*figure += cases
	if len(v.Findings) == mostFindings {
		v.unexplained++
		return
	}
	v.Findings = append(v.Findings, fmt.Sprintf(format, args...))
}
