// Package env reads a program's typed settings from its environment and reports every mistake at once.
//
// A setting is a struct field with the tags `env:"NAME" envDefault:"…" doc:"…"`. A struct without an env tag is a group;
// the groups all programs share are in this package. A setting that is set to nothing counts as not set.
package env

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"time"

	caarlos "github.com/caarlos0/env/v11"
)

// Load reads the settings C from environ, which has the form of os.Environ, and asks C and each of its groups that has
// a method Validate() []error. The error is Mistakes; beside it Load returns all that could be read.
func Load[C any](environ []string) (C, error) {
	var config C
	var mistakes Mistakes
	value := reflect.ValueOf(&config).Elem()
	lookup := caarlos.ToMap(environ)
	for _, s := range settingsOf(value) {
		if err := s.read(lookup); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	mistakes = mistakes.with(validate(value))
	if len(mistakes) > 0 {
		return config, mistakes
	}
	return config, nil
}

// setting is one variable and the field it fills.
type setting struct {
	name     string
	standard string // the default
	doc      string
	field    reflect.StructField
	value    reflect.Value
}

func settingsOf(group reflect.Value) []setting {
	var all []setting
	for i := range group.NumField() {
		field := group.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		switch {
		case name != "":
			all = append(all, setting{
				name: name, standard: field.Tag.Get("envDefault"), doc: field.Tag.Get("doc"),
				field: field, value: group.Field(i),
			})
		case isGroup(field):
			all = append(all, settingsOf(group.Field(i))...)
		}
	}
	return all
}

func isGroup(field reflect.StructField) bool {
	return field.Type.Kind() == reflect.Struct && field.Tag.Get("env") == "" && (field.IsExported() || field.Anonymous)
}

// read parses one setting by itself: the library's errors name the Go field, ours must name the variable.
func (s setting) read(lookup map[string]string) error {
	if s.secret() {
		text, err := s.secretText(lookup)
		if err != nil {
			return err
		}
		lookup = map[string]string{s.name: text}
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: s.field.Name, Type: s.field.Type, Tag: s.field.Tag},
	}))
	err := caarlos.ParseWithOptions(one.Interface(), caarlos.Options{Environment: lookup, FuncMap: parsers()})
	if err != nil {
		return Mistake{Variable: s.name, Value: s.shown(lookup[s.name]), Problem: problem(err)}
	}
	s.value.Set(one.Elem().Field(0))
	return nil
}

// shown returns what a mistake may show of a value that could not be read: nothing when it may hold a password.
func (s setting) shown(value string) string {
	if _, sensitive := s.value.Interface().(interface{ Reveal() string }); sensitive {
		return ""
	}
	return masked(value)
}

func problem(err error) string {
	var parse caarlos.ParseError
	var missing caarlos.VarIsNotSetError
	var empty caarlos.EmptyVarError
	switch {
	case errors.As(err, &parse):
		return parse.Err.Error()
	case errors.As(err, &missing), errors.As(err, &empty):
		return "must be set"
	default:
		return err.Error()
	}
}

// parsers read the types that need a plainer refusal than the library's, or more forms than it knows.
func parsers() map[reflect.Type]caarlos.ParserFunc {
	return map[reflect.Type]caarlos.ParserFunc{
		reflect.TypeFor[bool]():          parser("must be 0 or 1", strconv.ParseBool),
		reflect.TypeFor[int]():           parser("must be a whole number", strconv.Atoi),
		reflect.TypeFor[int64]():         parser("must be a whole number", parseInt64),
		reflect.TypeFor[time.Duration](): parser("must be a duration such as 500ms, 10s, 1h30m or 90d", parseDuration),
	}
}

func parser[V any](refusal string, parse func(string) (V, error)) caarlos.ParserFunc {
	return func(text string) (any, error) {
		value, err := parse(text)
		if err != nil {
			return nil, errors.New(refusal)
		}
		return value, nil
	}
}

func parseInt64(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }

// parseDuration also knows whole days, the unit of a retention. No setting of ours means anything below zero.
func parseDuration(text string) (time.Duration, error) {
	const day, most = 24 * time.Hour, 36500
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > most {
			return 0, strconv.ErrRange
		}
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, strconv.ErrRange
	}
	return d, nil
}
