// Package progress shows how far something is: a bar on a terminal, now and then a line anywhere else.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/seonchak/seonchak/tools/drop"
)

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 2 * time.Second
)

// Follow shows done of total on w until the returned function is called, which shows the end.
func Follow(w io.Writer, what string, total int64, done func() int64) (stop func()) {
	show, every := line(w, what, total), lineEvery
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		show, every = bar(w, what, total), barEvery
	}
	ended, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show(done())
			case <-ended:
				show(done())
				return
			}
		}
	}()
	return func() { close(ended); <-finished }
}

func line(w io.Writer, what string, total int64) func(int64) {
	return func(done int64) {
		_, _ = fmt.Fprintf(w, "%s %s of %s\n", what, drop.Number(done), drop.Number(total))
	}
}

func bar(w io.Writer, what string, total int64) func(int64) {
	shown := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(40), progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(w) }),
	)
	return func(done int64) { _ = shown.Set64(min(done, total)) } // a bar that cannot be drawn harms nothing
}
