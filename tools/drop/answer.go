package drop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Answer is what one try of an apply was told.
type Answer struct {
	User     string             `json:"user"`
	N        int                `json:"n"`
	HTTP     int                `json:"http"` // 0: no answer came, so the outcome is unknown
	Code     coupon.Code        `json:"code,omitempty"`
	Status   coupon.ClaimStatus `json:"status,omitempty"`
	Serial   int64              `json:"serial,omitempty"` // 0: not told
	Replayed bool               `json:"replayed,omitempty"`
	Sent     time.Time          `json:"sent"`
	Received time.Time          `json:"received"`
	Unknown  string             `json:"unknown,omitempty"` // why no answer came
	Fault    string             `json:"fault,omitempty"`   // what in the answer breaks the API's contract
}

// Binding reports whether the answer is a promise: a place that is durable, with its serial.
func (a Answer) Binding() bool {
	return a.granted() && (a.Status == coupon.StatusAccepted || a.Status == coupon.StatusIssued)
}

// Summary is what was told in a word: the status of a claim, the code of a problem, "none" where no answer came.
func (a Answer) Summary() string {
	switch {
	case a.HTTP == 0:
		return "none"
	case a.granted():
		return string(a.Status)
	default:
		return string(a.Code)
	}
}

func (a Answer) granted() bool { return a.HTTP == http.StatusAccepted || a.HTTP == http.StatusOK }

// transient reports whether a client would try again at once or soon.
func (a Answer) transient() bool {
	return a.HTTP == 0 || a.HTTP == http.StatusTooManyRequests || a.HTTP >= http.StatusInternalServerError
}

// refused reports whether a client would take the answer for a final no. Nobody may be told so who holds a promise.
func (a Answer) refused() bool { return !a.granted() && !a.transient() }

func (a Answer) key() key { return key{a.User, a.N} }

// key names a claim within its campaign.
type key struct {
	user string
	n    int
}

func (k key) String() string { return fmt.Sprintf("%s (n=%d)", k.user, k.n) }

// refusals are the answers of an apply that grant nothing.
var refusals = map[int][]coupon.Code{
	http.StatusBadRequest:            {"malformed_request"},
	http.StatusUnauthorized:          {"unauthenticated"},
	http.StatusForbidden:             {"not_eligible"},
	http.StatusNotFound:              {coupon.CodeCampaignNotFound},
	http.StatusConflict:              {coupon.CodeSoldOut, coupon.CodeCampaignNotStarted, coupon.CodeCampaignEnded, coupon.CodeCampaignPaused},
	http.StatusRequestEntityTooLarge: {"payload_too_large"},
	http.StatusUnprocessableEntity:   {coupon.CodePerUserLimit},
	http.StatusTooManyRequests:       {"rate_limited"},
	http.StatusServiceUnavailable:    {coupon.CodeOverloaded, coupon.CodeUnavailable},
}

// read fills in what the server said and notes the first thing in it that breaks the contract.
func (a *Answer) read(campaign string, response *http.Response, body []byte) {
	a.HTTP = response.StatusCode
	a.Replayed = response.Header.Get("Idempotent-Replayed") == "true"
	if a.granted() {
		a.Fault = a.readClaim(campaign, response.Header, body)
		return
	}
	a.Fault = a.readProblem(response.Header, body)
}

func (a *Answer) readClaim(campaign string, header http.Header, body []byte) string {
	var claim struct {
		Campaign string             `json:"campaign_id"`
		User     string             `json:"user_id"`
		N        int                `json:"n"`
		Serial   *int64             `json:"serial"`
		Status   coupon.ClaimStatus `json:"status"`
	}
	if err := json.Unmarshal(body, &claim); err != nil {
		return "the claim is not readable: " + err.Error()
	}
	a.Status = claim.Status
	if claim.Serial != nil {
		a.Serial = *claim.Serial
	}
	switch {
	case claim.Campaign != campaign || claim.User != a.User || claim.N != a.N:
		return fmt.Sprintf("the claim is of %s, %s, n=%d", claim.Campaign, claim.User, claim.N)
	case !slices.Contains([]coupon.ClaimStatus{coupon.StatusPending, coupon.StatusAccepted, coupon.StatusIssued, coupon.StatusFailed}, a.Status):
		return fmt.Sprintf("the claim's status is %q", a.Status)
	case a.Binding() != (claim.Serial != nil):
		return fmt.Sprintf("an answer %q names a serial: %t", a.Status, claim.Serial != nil)
	case a.Binding() && a.Serial < 1:
		return fmt.Sprintf("the serial is %d", a.Serial)
	case a.Replayed != (a.HTTP == http.StatusOK):
		return fmt.Sprintf("%d with Idempotent-Replayed: %t", a.HTTP, a.Replayed)
	case header.Get("Location") == "":
		return "no Location"
	}
	return ""
}

func (a *Answer) readProblem(header http.Header, body []byte) string {
	var problem struct {
		Status int         `json:"status"`
		Code   coupon.Code `json:"code"`
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		return fmt.Sprintf("the problem of a %d is not readable: %v", a.HTTP, err)
	}
	a.Code = problem.Code
	switch {
	case problem.Status != a.HTTP:
		return fmt.Sprintf("a %d whose body says %d", a.HTTP, problem.Status)
	case !slices.Contains(refusals[a.HTTP], a.Code):
		return fmt.Sprintf("%d %s is no answer to an apply", a.HTTP, a.Code)
	case a.transient() && header.Get("Retry-After") == "":
		return fmt.Sprintf("%d %s without Retry-After", a.HTTP, a.Code)
	}
	return ""
}
