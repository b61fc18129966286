package service

import (
	"errors"
	"io"
	"log/slog"

	"github.com/seonchak/seonchak/pkg/env"
)

// NewLogger returns a logger in the format and from the level of settings. Every line names the service and its version.
func NewLogger(w io.Writer, settings env.Process, name, version string) *slog.Logger {
	options := &slog.HandlerOptions{Level: settings.Level()}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if settings.LogFormat == env.Text {
		handler = slog.NewTextHandler(w, options)
	}
	return slog.New(handler).With("service", name, "version", version)
}

// WarnWeak logs every weakness, a sentence each, of the stores the promises rest on. In production it returns them as
// env.Mistakes instead, unless weak stores are allowed: that ends a program with exit code 2.
func WarnWeak(logger *slog.Logger, production, allowWeak bool, weaknesses []string) error {
	if production && !allowWeak {
		return refusal(weaknesses)
	}
	for _, weakness := range weaknesses {
		logger.Warn("weak setting", "weakness", weakness)
	}
	return nil
}

func refusal(weaknesses []string) error {
	if len(weaknesses) == 0 {
		return nil
	}
	mistakes := make(env.Mistakes, len(weaknesses))
	for i, weakness := range weaknesses {
		mistakes[i] = errors.New(weakness + " (refused with APP_ENV=production unless ALLOW_WEAK_STORES=1)")
	}
	return mistakes
}
