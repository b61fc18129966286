// Package told reads what an apply was told: which kind of answer it is, and whether it says anything a server may not say.
package told

import (
	"net/http"
	"strconv"

	"github.com/seonchak/seonchak/tools/load/client"
)

// Kind sorts answers. The first four are what people come for: a promise, or a true refusal.
type Kind int

// The kinds.
const (
	Accepted   Kind = iota // a first grant, durable
	Issued                 // a first grant whose coupon exists
	Replayed               // a promise told again
	SoldOut                // all are gone
	Pending                // a place that is not durable yet: no promise
	Overloaded             // told to come again: 503 overloaded, 429
	Other                  // any other answer
	Unknown                // no answer: the outcome is not known
	Kinds
)

var names = [Kinds]string{"accepted", "issued", "replayed", "sold_out", "pending", "overloaded", "other", "unknown"}

// String returns the name of the kind.
func (k Kind) String() string { return names[k] }

// Right reports whether answers of the kind count as work done.
func (k Kind) Right() bool { return k <= SoldOut }

// Promise reports whether answers of the kind bind the server.
func (k Kind) Promise() bool { return k <= Replayed }

// Answer is what one apply was told. The slices are valid until the next answer on the same connection.
type Answer struct {
	Kind   Kind
	HTTP   int
	Serial int64  // of a promise
	Status []byte // of a claim
	Code   []byte // of a problem
	Fault  string // what breaks the API's contract; the Kind is Other then
}

// Read reads the answer to the apply of a user for a campaign, n = 1. A nil user takes the answer whomever it names: a floor
// answers the same to all.
func Read(response client.Response, campaign string, user []byte) Answer {
	a := Answer{HTTP: response.Status}
	if response.Status == http.StatusAccepted || response.Status == http.StatusOK {
		a.readClaim(response, campaign, user)
	} else {
		a.readProblem(response)
	}
	if a.Fault != "" {
		a.Kind = Other
	}
	return a
}

func (a *Answer) readClaim(response client.Response, campaign string, user []byte) {
	var gotCampaign, gotUser, n, serial []byte
	whole := members(response.Body, func(key, value []byte) {
		switch string(key) {
		case "campaign_id":
			gotCampaign = text(value)
		case "user_id":
			gotUser = text(value)
		case "n":
			n = value
		case "serial":
			serial = value
		case "status":
			a.Status = text(value)
		}
	})
	first := a.HTTP == http.StatusAccepted
	a.Kind = claimKind(string(a.Status), first)
	if a.Kind.Promise() {
		a.Serial, _ = strconv.ParseInt(string(serial), 10, 64)
	}
	switch {
	case !whole:
		a.Fault = "the claim is not readable"
	case string(gotCampaign) != campaign || user != nil && string(gotUser) != string(user) || string(n) != "1":
		a.Fault = "the claim is another one's"
	case a.Kind == Other && string(a.Status) != "failed":
		a.Fault = "the claim has no known status"
	case a.Kind.Promise() && a.Serial < 1:
		a.Fault = "a promise without a serial"
	case !a.Kind.Promise() && string(serial) != "null":
		a.Fault = "a serial without a promise"
	case response.Replayed == first:
		a.Fault = "status and Idempotent-Replayed do not agree"
	case !response.Location:
		a.Fault = "no Location"
	}
}

func claimKind(status string, first bool) Kind {
	switch {
	case status == "pending":
		return Pending
	case status != "accepted" && status != "issued":
		return Other
	case !first:
		return Replayed
	case status == "issued":
		return Issued
	}
	return Accepted
}

func (a *Answer) readProblem(response client.Response) {
	var status []byte
	whole := members(response.Body, func(key, value []byte) {
		switch string(key) {
		case "status":
			status = value
		case "code":
			a.Code = text(value)
		}
	})
	a.Kind = Other
	named, _ := strconv.Atoi(string(status))
	switch {
	case !whole || len(a.Code) == 0:
		a.Fault = "the problem is not readable"
	case named != a.HTTP:
		a.Fault = "the problem names another status"
	case a.HTTP >= http.StatusInternalServerError && a.HTTP != http.StatusServiceUnavailable:
		a.Fault = "a server error"
	case a.HTTP == http.StatusConflict && string(a.Code) == "sold_out":
		a.Kind = SoldOut
	case a.HTTP == http.StatusTooManyRequests, a.HTTP == http.StatusServiceUnavailable && string(a.Code) == "overloaded":
		a.Kind = Overloaded
	}
	if (a.HTTP == http.StatusTooManyRequests || a.HTTP == http.StatusServiceUnavailable) && !response.RetryAfter {
		a.Fault = "no Retry-After"
	}
}
