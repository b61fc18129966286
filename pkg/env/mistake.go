package env

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Mistake is one setting that cannot be used.
type Mistake struct {
	Variable string
	Value    string // as it was set, for the reader of the log; "" = not set, or not to be shown
	Problem  string
}

// Error returns the mistake as one line.
func (m Mistake) Error() string {
	if m.Value == "" {
		return oneLine(m.Variable + ": " + m.Problem)
	}
	return oneLine(fmt.Sprintf("%s=%.80q: %s", m.Variable, m.Value, m.Problem))
}

// Mistakes is every reason why a program refuses to start. It is the error that ends a program with exit code 2.
type Mistakes []error

// Error returns the mistakes, one a line.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, err := range m {
		lines[i] = oneLine(err.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As see each mistake.
func (m Mistakes) Unwrap() []error { return m }

// with returns m and what of found says something new: a remark on a variable that could not be read only follows from
// that, and a Validate that a group's owner inherits is asked twice.
func (m Mistakes) with(found []error) Mistakes {
	unread := m
	for _, err := range found {
		if err == nil || unread.mention(err) || m.contain(err) {
			continue
		}
		m = append(m, err)
	}
	return m
}

func (m Mistakes) contain(err error) bool {
	return slices.ContainsFunc(m, func(known error) bool { return known.Error() == err.Error() })
}

// mention reports whether m already blames the variable of err, by its own name or that of its file.
func (m Mistakes) mention(err error) bool {
	var remark Mistake
	return errors.As(err, &remark) && slices.ContainsFunc(m, func(known error) bool {
		var k Mistake
		return errors.As(known, &k) &&
			strings.TrimSuffix(k.Variable, fileSuffix) == strings.TrimSuffix(remark.Variable, fileSuffix)
	})
}

// Between returns a mistake unless low ≤ value ≤ high. It is for Validate methods, where a nil error is no mistake.
func Between[N cmp.Ordered](variable string, value, low, high N) error {
	if low <= value && value <= high {
		return nil
	}
	return Mistake{variable, fmt.Sprint(value), fmt.Sprintf("must be from %v to %v", low, high)}
}

// OneOf returns a mistake unless value is one of choices.
func OneOf(variable, value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return Mistake{variable, value, "must be one of: " + strings.Join(choices, ", ")}
}

// Check returns a mistake unless ok; problem says what is asked of the variable.
func Check(ok bool, variable, problem string) error {
	if ok {
		return nil
	}
	return Mistake{Variable: variable, Problem: problem}
}

// Wrong returns a mistake for err, which says what is wrong with the variable, unless it is nil.
func Wrong(variable string, err error) error {
	if err == nil {
		return nil
	}
	return Mistake{Variable: variable, Problem: err.Error()}
}

// validate asks the groups before the whole.
func validate(group reflect.Value) []error {
	var found []error
	for i := range group.NumField() {
		if isGroup(group.Type().Field(i)) {
			found = append(found, validate(group.Field(i))...)
		}
	}
	address := group.Addr()
	if !address.CanInterface() {
		return found
	}
	if v, ok := address.Interface().(interface{ Validate() []error }); ok {
		found = append(found, v.Validate()...)
	}
	return found
}

func oneLine(text string) string { return strings.Join(strings.FieldsFunc(text, isBreak), " ") }

func isBreak(r rune) bool { return r == '\n' || r == '\r' }
