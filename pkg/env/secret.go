package env

import (
	"errors"
	"os"
	"reflect"
	"strings"
)

const (
	fileSuffix = "_FILE"
	mask       = "***"
)

// Secret is a value that is never printed. For the variable X it is read from X or from the file that X_FILE names, and
// setting both is a mistake. When the variable's own name ends in _FILE it is read from a file only. Line breaks at its
// end are not part of it.
type Secret struct{ text string }

// Reveal returns the secret itself, "" when none is set.
func (s Secret) Reveal() string { return s.text }

// String returns *** for any secret, and "" for none.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return mask
}

// GoString keeps the secret out of %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps the secret out of JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the secret.
func (s *Secret) UnmarshalText(text []byte) error {
	s.text = string(text)
	return nil
}

func (s setting) secret() bool { return s.field.Type == reflect.TypeFor[Secret]() }

// file returns the variable that names the secret's file.
func (s setting) file() string { return strings.TrimSuffix(s.name, fileSuffix) + fileSuffix }

// secretText returns the secret from wherever it is set, "" when it is not.
func (s setting) secretText(lookup map[string]string) (string, error) {
	name, file := s.name, s.file()
	text, path := lookup[name], lookup[file]
	if name == file {
		text = ""
	}
	if text != "" && path != "" {
		return "", Mistake{Variable: name, Problem: "is set, and " + file + " too: set one of them"}
	}
	if path == "" {
		return strings.TrimRight(text, "\r\n"), nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", Mistake{file, path, "cannot be read: " + reason(err)}
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", Mistake{file, path, "is an empty file"}
	}
	return secret, nil
}

// reason leaves out the path, which the mistake shows already.
func reason(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// RedisURL says where Redis is. It may carry a password, so printing it masks that.
type RedisURL string

// Reveal returns the URL as it was set.
func (u RedisURL) Reveal() string { return string(u) }

// String returns the URL with its password masked.
func (u RedisURL) String() string { return masked(string(u)) }

// GoString keeps the password out of %#v.
func (u RedisURL) GoString() string { return u.String() }

// MarshalText keeps the password out of JSON.
func (u RedisURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText checks the scheme and that a host follows. The rest is judged by the client that dials.
func (u *RedisURL) UnmarshalText(text []byte) error {
	scheme, rest, _ := strings.Cut(string(text), "://")
	known := scheme == "redis" || scheme == "rediss" || scheme == "redis+sentinel"
	if !known || rest == "" || strings.ContainsAny(rest[:1], "/,?") {
		return errors.New("must begin with redis://host, rediss://host or redis+sentinel://host")
	}
	*u = RedisURL(text)
	return nil
}

// MySQLDSN says where the database is, as go-sql-driver spells it. It may carry a password, so printing it masks that.
type MySQLDSN string

// Reveal returns the DSN as it was set.
func (d MySQLDSN) Reveal() string { return string(d) }

// String returns the DSN with its password masked.
func (d MySQLDSN) String() string { return masked(string(d)) }

// GoString keeps the password out of %#v.
func (d MySQLDSN) GoString() string { return d.String() }

// MarshalText keeps the password out of JSON.
func (d MySQLDSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText checks that the DSN names a database. The rest is judged by the driver.
func (d *MySQLDSN) UnmarshalText(text []byte) error {
	dsn := string(text)
	slash := strings.LastIndexByte(dsn, '/')
	database, _, _ := strings.Cut(dsn[slash+1:], "?")
	if slash < 0 || database == "" || strings.HasPrefix(dsn, "mysql://") {
		return errors.New("must have the form user:password@tcp(host:3306)/database")
	}
	*d = MySQLDSN(dsn)
	return nil
}

// masked hides the password of a URL or DSN: everything from the first colon of the user to the last @. Where that is
// not certain it hides too much rather than too little.
func masked(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || strings.ContainsAny(scheme, ":@/") {
		scheme, rest = "", text
	} else {
		scheme += "://"
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if user, _, has := strings.Cut(rest[:at], ":"); has {
			rest = user + ":" + mask + rest[at:]
		}
	}
	if path, query, _ := strings.Cut(rest, "?"); strings.Contains(strings.ToLower(query), "pass") {
		rest = path + "?" + mask
	}
	return scheme + rest
}
