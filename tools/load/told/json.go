package told

import "bytes"

// members visits the members of a JSON object with the bytes of their values, and reports whether it could read the
// object to its end. It is not a validator: what is inside of nested values is skipped. It neither decodes nor allocates:
// a client that reads a million answers shares the machine with who gives them.
func members(object []byte, visit func(key, value []byte)) bool {
	rest, ok := bytes.CutPrefix(space(object), []byte("{"))
	if !ok {
		return false
	}
	if rest = space(rest); bytes.HasPrefix(rest, []byte("}")) {
		return len(space(rest[1:])) == 0
	}
	for {
		key := rest[:valueEnd(rest)]
		rest = space(rest[len(key):])
		if len(key) < 2 || key[0] != '"' || len(rest) == 0 || rest[0] != ':' {
			return false
		}
		rest = space(rest[1:])
		value := rest[:valueEnd(rest)]
		rest = space(rest[len(value):])
		if len(value) == 0 || len(rest) == 0 {
			return false
		}
		visit(text(key), value)
		if rest[0] == '}' {
			return len(space(rest[1:])) == 0
		}
		if rest[0] != ',' {
			return false
		}
		rest = space(rest[1:])
	}
}

func space(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// valueEnd returns how long the value is that b begins with; 0 when it does not end.
func valueEnd(b []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ']'):
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && bytes.IndexByte([]byte(",:}] \t\r\n"), c) >= 0:
			return i
		}
	}
	return 0
}

// text returns a string's bytes without quotes, its escapes as they are: nothing that is compared here needs any. Of what
// is no string it is nil.
func text(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	return value[1 : len(value)-1]
}
