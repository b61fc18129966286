package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// cancelled reports whether err says no more than that its context was cancelled. Errors joined to that count.
func cancelled(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself: errors.Is would overlook the other branches
	case interface{ Unwrap() []error }:
		for _, branch := range e.Unwrap() {
			if !cancelled(branch) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return cancelled(inner)
		}
	}
	return errors.Is(err, context.Canceled)
}

// guard turns a panic into an error: Go's own exit code for a panic is 2, which means a bad configuration here, and the
// other parts of the process deserve their orderly stop.
func guard(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run()
}
