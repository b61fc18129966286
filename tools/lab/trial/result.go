package trial

import (
	"slices"
	"time"

	"github.com/seonchak/seonchak/tools/lab/strategy"
)

// Result is what a trial came to.
type Result struct {
	Case
	Verdict    Verdict `json:"verdict"`
	Crashed    bool    `json:"crashed"`  // a server died; a slow strategy may not come to it
	SoldOut    bool    `json:"sold_out"` // somebody was told that all are gone; a slow strategy may not come to it
	Answered   int     `json:"answered"` // applies that had a final answer
	Granted    int     `json:"granted"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"per_second"`   // answers
	GrantsRate float64 `json:"grants_per_s"` // until the last grant
	LastRow    float64 `json:"last_row_s"`   // from the first try to the last row: a promise may come before its row
	P50        float64 `json:"p50_ms"`       // from the first try to the answer
	P99        float64 `json:"p99_ms"`
	Repeats    int64   `json:"repeats"` // of the users, who had no answer or were told to come again
	Retries    int64   `json:"retries"` // of the servers; what the product does is not known
	Deadlocks  int64   `json:"deadlocks"`
	TimeOuts   int64   `json:"time_outs"`
	LockWaits  int64   `json:"lock_waits"`     // for rows of the database server, of everybody
	LockWaited int64   `json:"lock_waited_ms"` // by all of them together
	Statements float64 `json:"statements_per_grant"`
	OtherP50   float64 `json:"other_p50_ms"` // of an unrelated query until the last grant
	OtherP99   float64 `json:"other_p99_ms"`
	RowsP50    float64 `json:"rows_p50_ms"` // of the same query until the last row
	RowsP99    float64 `json:"rows_p99_ms"`
	Memory     int64   `json:"redis_bytes"`
}

// Tried reports whether the trial came to what it is held for: the crash, and in a drop the limit. What went wrong before
// the limit counts all the same.
func (r Result) Tried() bool {
	limited := r.Workload == Drop || r.Workload == DoubleClick
	return r.Crashed == r.Crash && (!limited || r.SoldOut || !r.Verdict.Right())
}

func (c *Crowd) result(which Case, took time.Duration, r Record) Result {
	result := Result{Case: which, Answered: len(c.visits), Granted: int(c.granted.Load()), Seconds: took.Seconds()}
	result.PerSecond = float64(len(c.visits)) / took.Seconds()
	result.Repeats = c.repeats.Load()
	result.P50, result.P99 = percentile(c.visits, 50), percentile(c.visits, 99)
	result.Verdict = c.verdict(which, r)
	result.SoldOut = slices.ContainsFunc(c.tries, func(t try) bool { return t.outcome == strategy.SoldOut })
	if first, last := c.granting(); result.Granted > 0 {
		result.GrantsRate = float64(result.Granted) / last.Sub(first).Seconds()
	}
	return result
}

func (c *Crowd) verdict(which Case, r Record) Verdict {
	switch which.Workload {
	case Contention:
		return judgePoints(c.tries, r)
	case Booking:
		return judgeSeat(c.tries, r)
	}
	return judge(which.Limit, c.tries, r)
}
