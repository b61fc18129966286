package env

import (
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"text/tabwriter"
)

// Help writes a table of every variable of config, a struct of settings: name, default, meaning.
func Help(w io.Writer, config any) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VARIABLE\tDEFAULT\tMEANING") // the table keeps its first error for Flush
	for _, s := range settingsOf(reflect.ValueOf(config)) {
		standard := s.standard
		if standard == "" {
			standard = "-"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.name, standard, s.doc)
		if s.secret() && s.name != s.file() {
			_, _ = fmt.Fprintf(table, "%s\t-\tfile that holds %s\n", s.file(), s.name)
		}
	}
	return table.Flush()
}

// Attrs returns every setting of config as it is in effect, secrets masked, for the log line of a start.
func Attrs(config any) []slog.Attr {
	var attrs []slog.Attr
	for _, s := range settingsOf(reflect.ValueOf(config)) {
		attrs = append(attrs, slog.String(s.name, fmt.Sprint(s.value.Interface())))
	}
	return attrs
}
