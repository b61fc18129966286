package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/seonchak/seonchak/tools/drop"
)

// progress shows how far something is: a bar on a terminal, now and then a line anywhere else.
type progress struct{ w io.Writer }

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 2 * time.Second
)

// follow shows done of total until the returned function is called, which shows the end.
func (p progress) follow(what string, total int64, done func() int64) (stop func()) {
	show, every := p.line(what, total), lineEvery
	if file, ok := p.w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		show, every = p.bar(what, total), barEvery
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

func (p progress) line(what string, total int64) func(int64) {
	return func(done int64) {
		_, _ = fmt.Fprintf(p.w, "%s %s of %s\n", what, drop.Number(done), drop.Number(total))
	}
}

func (p progress) bar(what string, total int64) func(int64) {
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(40), progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(p.w) }),
	)
	return func(done int64) { _ = bar.Set64(min(done, total)) } // a bar that cannot be drawn harms nothing
}
