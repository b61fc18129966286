package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// field is one member of an object: its name, unquoted, and its value as it was written.
type field struct{ name, value []byte }

// fields are the members of an object. There are few, so a scan beats a map.
type fields []field

func (f fields) raw(name string) []byte {
	for i := range f {
		if string(f[i].name) == name {
			return f[i].value
		}
	}
	return nil
}

func (f fields) has(name []byte) bool {
	return slices.ContainsFunc(f, func(g field) bool { return bytes.Equal(g.name, name) })
}

// split takes an object apart, or says why it cannot. Unmarshalling into a struct would take the last of two equal keys
// and match names in any case.
func split(value []byte) (fields, string) {
	switch {
	case len(value) == 0:
		return nil, ReasonEmpty
	case len(value) > MaxSize:
		return nil, ReasonTooLarge
	case !utf8.Valid(value):
		return nil, ReasonNotJSON
	case !json.Valid(value):
		return nil, notValid(value)
	}
	return members(bytes.TrimLeft(value, space))
}

// notValid tells an object with something behind it from no JSON at all.
func notValid(value []byte) string {
	var first json.RawMessage
	if json.NewDecoder(bytes.NewReader(value)).Decode(&first) == nil && first[0] == '{' {
		return ReasonTrailingData
	}
	return ReasonNotJSON
}

const space = " \t\r\n"

// members walks the members of a valid JSON text, so it need not check anything but that the text is an object.
func members(b []byte) (fields, string) {
	if b[0] != '{' {
		return nil, ReasonNotJSON
	}
	found := make(fields, 0, 8)
	for b = bytes.TrimLeft(b[1:], space); b[0] != '}'; b = bytes.TrimLeft(b, space+",") {
		end := valueEnd(b)
		name := unquote(b[:end])
		b = bytes.TrimLeft(b[end:], space+":")
		if found.has(name) {
			return nil, ReasonDuplicateKey
		}
		end = valueEnd(b)
		found = append(found, field{name, b[:end]})
		b = b[end:]
	}
	return found, ""
}

// valueEnd returns the length of the JSON value that b begins with.
func valueEnd(b []byte) int {
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		return nestedEnd(b)
	default:
		return bytes.IndexAny(b, space+",}]")
	}
}

func stringEnd(b []byte) int {
	i := 1
	for b[i] != '"' {
		if b[i] == '\\' {
			i++
		}
		i++
	}
	return i + 1
}

func nestedEnd(b []byte) int {
	depth, i := 0, 0
	for {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
}

// unquote returns what a JSON string means.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // a valid string always can be
	return []byte(s)
}
