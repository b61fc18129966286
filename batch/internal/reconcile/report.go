package reconcile

import (
	"fmt"
	"slices"
	"time"

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
	Seal    string               `json:"seal"`
}

// Claim is one claim that is wrong: in one store only, or with another serial in each.
type Claim struct {
	User      string `json:"user_id"`
	N         int    `json:"n"`
	Serial    int64  `json:"serial"`     // in Redis; 0 without one
	RowSerial int64  `json:"row_serial"` // in MySQL; 0 without one
	Wrong     string `json:"wrong"`      // stable
}

// Claims are the claims of a campaign that are wrong.
type Claims struct {
	Total int64            `json:"total"`
	Wrong map[string]int64 `json:"wrong"` // how many of each kind
	List  []Claim          `json:"list"`  // the first of them
}

func (c *Claims) count(wrong string) { c.Wrong[wrong]++ }

// Repair is one thing that was done.
type Repair struct {
	Campaign string `json:"campaign_id"`
	Action   string `json:"action"` // stable
	Detail   string `json:"detail"`
	Error    string `json:"error,omitempty"` // why it could not be done
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
	Returned   int64                          `json:"returned"` // rows whose place was given back
	Rows       int64                          `json:"rows"`
	Live       int64                          `json:"live_failed_events"` // those that keep a place in the stock
	Carried    int64                          `json:"carried_events"`     // of those, the ones from closed epochs
	Unsold     *int64                         `json:"unsold"`             // null where nobody sells, or Redis has no count
	Failed     map[coupon.FailureStatus]int64 `json:"failed_events"`
	Redis      *Stock                         `json:"redis"` // null when Redis was not asked

	InFlight    []Difference `json:"in_flight"` // what work on its way explains
	Differences []Difference `json:"differences"`
	Claims      *Claims      `json:"claims,omitempty"` // where they were compared, and some are wrong
	Error       string       `json:"error,omitempty"`  // of Unknown

	record coupon.Campaign
}

// Result is a comparison of all campaigns.
type Result struct {
	AsOf        time.Time    `json:"as_of"`
	Lag         int64        `json:"consumer_lag"` // records of the log that the consumers have not done with
	Campaigns   []Campaign   `json:"campaigns"`
	Differences []Difference `json:"differences"` // of no one campaign
	Repairs     []Repair     `json:"repairs"`
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

// atRest reports whether waiting could change nothing. What is on its way may also end a difference: a fence does.
func (r Result) atRest() bool {
	return r.Lag == 0 && !slices.ContainsFunc(r.Campaigns, func(c Campaign) bool { return len(c.InFlight) > 0 })
}

// Summary returns the result as one line.
func (r Result) Summary() string {
	line := fmt.Sprintf("campaigns %d, equal %d, in flight %d, different %d, unknown %d, consumer lag %d",
		len(r.Campaigns), r.count(Equal), r.count(InFlight), r.count(Different), r.count(Unknown), r.Lag)
	if len(r.Repairs) > 0 {
		line += fmt.Sprintf(", repairs %d", len(r.Repairs))
	}
	return line
}
