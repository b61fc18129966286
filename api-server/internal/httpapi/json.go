package httpapi

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/pkg/coupon"
)

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is an instant as the API writes it.
type Time time.Time

// MarshalJSON writes RFC 3339 in UTC with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) { return appendTime(nil, time.Time(t)), nil }

// appendClaim writes a claim. Only a binding answer names the serial.
func appendClaim(b []byte, a apply.Answer) []byte {
	b = append(append(b, `{"object":"claim","campaign_id":"`...), a.Claim.Campaign...)
	b = append(append(b, `","user_id":"`...), a.Claim.User...)
	b = strconv.AppendInt(append(b, `","n":`...), int64(a.Claim.N), 10)
	b = append(b, `,"serial":`...)
	if a.Status == coupon.StatusAccepted || a.Status == coupon.StatusIssued {
		b = strconv.AppendInt(b, a.Claim.Serial, 10)
	} else {
		b = append(b, "null"...)
	}
	b = append(append(b, `,"status":"`...), a.Status...)
	b = append(b, `","claimed_at":`...)
	if a.Claim.ClaimedAt.IsZero() {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, a.Claim.ClaimedAt)
	}
	if a.Coupon == nil {
		return append(b, `,"issued_at":null,"coupon":null,"receipt":null}`...)
	}
	b = appendTime(append(b, `,"issued_at":`...), a.Coupon.IssuedAt)
	b = append(append(b, `,"coupon":{"code":"`...), a.Coupon.Code...)
	b = append(append(b, `","status":"`...), a.Coupon.Status...)
	b = append(b, `","expires_at":`...)
	if a.Coupon.ExpiresAt == nil {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, *a.Coupon.ExpiresAt)
	}
	return append(b, `},"receipt":null}`...)
}

func appendTime(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), timeLayout), '"')
}

// appendString writes s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// jsonType is shared by all answers: nobody writes into it.
var jsonType = []string{"application/json"}

func writeJSON(c *gin.Context, status int, body []byte) {
	c.Writer.Header()["Content-Type"] = jsonType
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(body)
}
