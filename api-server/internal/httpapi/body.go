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

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Member is one field of a JSON object.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Pointer returns the JSON pointer to the member, escaped as RFC 6901 wants it: a caller may have chosen the name.
func (m Member) Pointer() string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(m.Name)
}

// ReadJSON reads one JSON object of at most limit bytes into the struct that v points to. Unknown and repeated fields
// and trailing data are refused. The error is a *coupon.Error that names the field.
func ReadJSON(c *gin.Context, limit int64, v any) error {
	body, err := readBody(c, limit)
	if err != nil {
		return err
	}
	return DecodeJSON(body, v)
}

// ReadMembers reads one JSON object of at most limit bytes whose fields the caller judges; they come in the order of the
// body. Repeated fields and trailing data are refused, with a *coupon.Error that names the field.
func ReadMembers(c *gin.Context, limit int64) ([]Member, error) {
	body, err := readBody(c, limit)
	if err != nil {
		return nil, err
	}
	return membersOf(body)
}

func readBody(c *gin.Context, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	if err != nil {
		return nil, readError(err)
	}
	if len(body) == 0 {
		return nil, errEmptyBody
	}
	return body, nil
}

// DecodeJSON does to a body what ReadJSON does to one that it reads.
func DecodeJSON(body []byte, v any) error {
	members, err := membersOf(body)
	if err != nil {
		return err
	}
	known := FieldsOf(v)
	for _, m := range members {
		if !known[m.Name] { // the decoder would let another case of a field's name pass
			return malformed(m.Pointer(), "unknown_field", "unknown field")
		}
	}
	if err := strict(body, v); err != nil {
		return nameFault(readError(err), members, v)
	}
	return nil
}

// membersOf reads the fields of a body that must be one object; the decoder would let a name given twice pass.
func membersOf(body []byte) ([]Member, error) {
	if !json.Valid(body) {
		return nil, malformed("", "invalid_json", "the body is not one valid JSON value")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if opening, _ := decoder.Token(); opening != json.Delim('{') {
		return nil, malformed("", "wrong_type", "the body is not an object")
	}
	var members []Member
	seen := map[string]bool{}
	for decoder.More() {
		name, _ := decoder.Token() // cannot fail: the JSON is valid
		m := Member{Name: name.(string)}
		if seen[m.Name] {
			return nil, malformed(m.Pointer(), "duplicate_field", "is given twice")
		}
		seen[m.Name] = true
		_ = decoder.Decode(&m.Value)
		members = append(members, m)
	}
	return members, nil
}

// strict refuses fields of the objects within that nobody knows.
func strict(body []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	return decoder.Decode(v)
}

// nameFault makes e point into the body: the decoder names a field by its way through our structs, or not at all.
func nameFault(e *coupon.Error, members []Member, v any) error {
	for _, m := range members {
		one, _ := json.Marshal(map[string]json.RawMessage{m.Name: m.Value})
		if strict(one, reflect.New(reflect.TypeOf(v).Elem()).Interface()) != nil {
			e.Fields[0].Pointer = m.within(e.Fields[0].Pointer)
			break
		}
	}
	return e
}

// within returns what the decoder said of a fault as a pointer that begins at the member it lies in.
func (m Member) within(pointer string) string {
	_, rest, found := strings.Cut(pointer+"/", m.Pointer()+"/")
	if !found {
		return m.Pointer() + pointer
	}
	return strings.TrimSuffix(m.Pointer()+"/"+rest, "/")
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

// FieldsOf returns the JSON names of the fields of the struct that v points to, those of embedded structs too.
func FieldsOf(v any) map[string]bool {
	fields := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields[name] = true
		}
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

func readError(err error) *coupon.Error {
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
		return malformed(Member{Name: name}.Pointer(), "unknown_field", "unknown field")
	}
	return malformed("", "unreadable", "the body cannot be read")
}
