package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
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

// ReadJSON reads one JSON object of at most limit bytes into the struct that v points to. Unknown and repeated fields
// and trailing data are refused. The error is a *coupon.Error that names the field.
func ReadJSON(c *gin.Context, limit int64, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	if err != nil {
		return readError(err)
	}
	if len(body) == 0 {
		return errEmptyBody
	}
	if err := checkFields(body, v); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields() // of the objects within
	if err := decoder.Decode(v); err != nil {
		return readError(err)
	}
	return nil
}

// checkFields refuses what the decoder would let pass: another case of a field's name, a name given twice, and a body
// that is not one object.
func checkFields(body []byte, v any) error {
	if !json.Valid(body) {
		return malformed("", "invalid_json", "the body is not one valid JSON value")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if opening, _ := decoder.Token(); opening != json.Delim('{') {
		return malformed("", "wrong_type", "the body is not an object")
	}
	known := fieldsOf(v)
	for decoder.More() {
		name, _ := decoder.Token() // cannot fail: the JSON is valid
		field := name.(string)
		unused, exists := known[field]
		switch {
		case !exists:
			return malformed(pointerTo(field), "unknown_field", "unknown field")
		case !unused:
			return malformed("/"+field, "duplicate_field", "is given twice")
		}
		known[field] = false
		var value json.RawMessage
		_ = decoder.Decode(&value)
	}
	return nil
}

// pointerTo escapes a name of the caller's choosing as RFC 6901 wants it.
func pointerTo(field string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(field)
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	default:
		return "an object"
	}
}

func fieldsOf(v any) map[string]bool {
	t := reflect.TypeOf(v).Elem()
	fields := make(map[string]bool, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = true
	}
	return fields
}

var (
	errTooLarge  = &coupon.Error{Code: codePayloadTooLarge}
	errEmptyBody = malformed("", "empty_body", "the body is empty")
)

func tooLarge(err error) bool {
	var e *http.MaxBytesError
	return errors.As(err, &e)
}

func readError(err error) error {
	var wrongType *json.UnmarshalTypeError
	var wrongTime *time.ParseError
	switch {
	case tooLarge(err):
		return errTooLarge
	case errors.As(err, &wrongType):
		return malformed("/"+strings.ReplaceAll(wrongType.Field, ".", "/"), "wrong_type", "is not "+kindOf(wrongType.Type))
	case errors.As(err, &wrongTime):
		return malformed("", "invalid_time", "a time must be RFC 3339: "+strconv.Quote(wrongTime.Value))
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name, _ := strconv.Unquote(field)
		return malformed(pointerTo(name), "unknown_field", "unknown field")
	}
	return malformed("", "unreadable", "the body cannot be read")
}

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

func writeJSON(c *gin.Context, status int, body []byte) {
	c.Header("Content-Type", "application/json")
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(body)
}
