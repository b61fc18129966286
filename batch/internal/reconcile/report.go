package reconcile

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Verdict is what a comparison found of one campaign.
type Verdict string

// The verdicts.
const (
	Equal     Verdict = "equal"     // the stores agree
	InFlight  Verdict = "in_flight" // they differ by no more than what is still on its way
	Different Verdict = "different"
	Unknown   Verdict = "unknown" // a store did not answer
)

// Difference is one contradiction between the stores, in words.
type Difference struct {
	Code   string `json:"code"` // stable
	Detail string `json:"detail"`
}

// Stock is a campaign's epoch as Redis holds it; -1 stands for a key that is missing or not what it should be.
type Stock struct {
	Count    int64 `json:"count"` // the last serial given out
	Members  int64 `json:"members"`
	Serials  int64 `json:"serials"`
	Pending  int64 `json:"pending"`
	Document *Meta `json:"document"` // null without one
}

// Meta is the document of a campaign as Redis holds it.
type Meta struct {
	Version int64                `json:"version"`
	State   coupon.DocumentState `json:"state"`
	Epoch   int64                `json:"epoch"`
	Lo      int64                `json:"lo"`
	Hi      int64                `json:"hi"`
	Base    int64                `json:"base"`
}

// Campaign is one campaign in all three stores.
type Campaign struct {
	ID         string                         `json:"campaign_id"`
	Verdict    Verdict                        `json:"verdict"`
	Status     coupon.CampaignStatus          `json:"status"`
	Epoch      int64                          `json:"epoch"`
	EpochState coupon.EpochState              `json:"epoch_state"`
	Mode       coupon.Mode                    `json:"mode"`
	Limit      int64                          `json:"limit"`
	Issued     int64                          `json:"issued"`
	Rows       int64                          `json:"rows"`
	Live       int64                          `json:"live_failed_events"` // those that keep a place in the stock
	Failed     map[coupon.FailureStatus]int64 `json:"failed_events"`
	Redis      *Stock                         `json:"redis"` // null in mode sql

	InFlight    []Difference `json:"in_flight"` // what work on its way explains
	Differences []Difference `json:"differences"`
	Error       string       `json:"error,omitempty"` // of Unknown
}

// Result is a comparison of all campaigns.
type Result struct {
	AsOf        time.Time    `json:"as_of"`
	Lag         int64        `json:"consumer_lag"` // records of the log that the consumers have not done with
	Campaigns   []Campaign   `json:"campaigns"`
	Differences []Difference `json:"differences"` // of no one campaign
}

func (r Result) count(v Verdict) (n int) {
	for _, c := range r.Campaigns {
		if c.Verdict == v {
			n++
		}
	}
	return n
}

// OK reports whether the stores agree, but for what is in flight.
func (r Result) OK() bool {
	return len(r.Differences) == 0 && r.count(Different) == 0 && r.count(Unknown) == 0
}

// atRest reports whether waiting could change nothing.
func (r Result) atRest() bool { return r.Lag == 0 && r.count(InFlight) == 0 }

// Summary returns the result as one line.
func (r Result) Summary() string {
	return fmt.Sprintf("campaigns %d, equal %d, in flight %d, different %d, unknown %d, consumer lag %d",
		len(r.Campaigns), r.count(Equal), r.count(InFlight), r.count(Different), r.count(Unknown), r.Lag)
}

// WriteTable writes the comparison for a person: a line a campaign, then every difference in words.
func (r Result) WriteTable(w io.Writer) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{
		"campaign", "status", "epoch", "limit", "issued", "rows", "live", "dead",
		"count", "members", "serials", "pending", "verdict",
	})
	for _, c := range r.Campaigns {
		row := table.Row{c.ID, c.Status, c.Epoch, c.Limit, c.Issued, c.Rows, c.Live, c.Failed[coupon.FailureDead]}
		if c.Redis == nil {
			row = append(row, "-", "-", "-", "-")
		} else {
			row = append(row, c.Redis.Count, c.Redis.Members, c.Redis.Serials, c.Redis.Pending)
		}
		t.AppendRow(append(row, c.Verdict))
	}
	_, err := fmt.Fprintf(w, "%s\n%s", t.Render(), r.words())
	return err
}

func (r Result) words() (lines string) {
	for _, d := range r.Differences {
		lines += fmt.Sprintf("different: %s: %s\n", d.Code, d.Detail)
	}
	for _, c := range r.Campaigns {
		for _, d := range c.InFlight {
			lines += fmt.Sprintf("%s: in flight: %s: %s\n", c.ID, d.Code, d.Detail)
		}
		for _, d := range c.Differences {
			lines += fmt.Sprintf("%s: different: %s: %s\n", c.ID, d.Code, d.Detail)
		}
		if c.Error != "" {
			lines += fmt.Sprintf("%s: unknown: %s\n", c.ID, c.Error)
		}
	}
	return lines
}
