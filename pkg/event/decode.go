package event

import (
	"strconv"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Malformed is the error of a record that is not an event and never will be.
type Malformed struct {
	Reason string // stable and short: it becomes a label. One of the Reason constants
}

// The reasons of Malformed. The last six also name the field at fault: absent, of the wrong type or out of its range.
const (
	ReasonEmpty        = "empty"
	ReasonTooLarge     = "too_large"
	ReasonNotJSON      = "not_json" // not one JSON object in UTF-8
	ReasonTrailingData = "trailing_data"
	ReasonDuplicateKey = "duplicate_key"
	ReasonVersion      = "version" // v is absent or not 1
	ReasonCampaign     = "campaign_id"
	ReasonEpoch        = "epoch"
	ReasonSerial       = "serial"
	ReasonUser         = "user_id"
	ReasonN            = "n"
	ReasonClaimedAt    = "claimed_at"
)

// Error returns the reason in a sentence.
func (e *Malformed) Error() string { return "malformed event: " + e.Reason }

// Decode returns the claim of a record's value. Fields it does not know are ignored, so a newer writer can add some.
// Everything else that Encode could not have meant is a *Malformed error, and the only kind of error there is.
func Decode(value []byte) (coupon.Claim, error) {
	fields, reason := split(value)
	if reason != "" {
		return coupon.Claim{}, &Malformed{reason}
	}
	claim, reason := fields.claim()
	if reason != "" {
		return coupon.Claim{}, &Malformed{reason}
	}
	return claim, nil
}

// claim reads the fields in a fixed order, the version first: of a future version nothing else can be judged.
func (f fields) claim() (c coupon.Claim, reason string) {
	if f.number("v", 64) != version {
		return c, ReasonVersion
	}
	if c.Campaign = f.text("campaign_id"); !coupon.ValidCampaignID(c.Campaign) {
		return c, ReasonCampaign
	}
	if c.Epoch = f.number("epoch", 64); c.Epoch < 1 {
		return c, ReasonEpoch
	}
	if c.Serial = f.number("serial", 64); c.Serial < 1 {
		return c, ReasonSerial
	}
	if c.User = f.text("user_id"); !coupon.ValidUserID(c.User) {
		return c, ReasonUser
	}
	if c.N = int(f.number("n", 32)); c.N < 1 {
		return c, ReasonN
	}
	if c.ClaimedAt = f.instant("claimed_at"); c.ClaimedAt.IsZero() {
		return c, ReasonClaimedAt
	}
	return c, ""
}

// number returns an integer field that fits in so many bits, or 0, which no field may be.
func (f fields) number(name string, bits int) int64 {
	n, err := strconv.ParseInt(string(f.raw(name)), 10, bits)
	if err != nil {
		return 0
	}
	return n
}

// text returns a string field, or "", which no field may be.
func (f fields) text(name string) string {
	raw := f.raw(name)
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	return string(unquote(raw))
}

// instant returns a time field in UTC to the millisecond, or the zero time. Years that neither the text form nor the
// database can hold are refused.
func (f fields) instant(name string) time.Time {
	var t time.Time
	if t.UnmarshalText([]byte(f.text(name))) != nil {
		return time.Time{}
	}
	t = t.UTC().Truncate(time.Millisecond)
	if t.Unix() < 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}
