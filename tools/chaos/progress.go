package main

import (
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far the suite is: a bar on a terminal, a line for each run anywhere else.
type progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar // nil where there is no terminal
}

func newProgress(w io.Writer, runs int) *progress {
	p := &progress{w: w}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(runs, progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionSetWidth(30),
			progressbar.OptionSetPredictTime(false), progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(w) }))
	}
	return p
}

// phase says what the run of that class is doing.
func (p *progress) phase(class, phase string) {
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("%-38s %-8s", class, phase)) // a bar that cannot be drawn harms nothing
	}
}

// done shows how a run ended; what is wrong is always shown.
func (p *progress) done(r Record) {
	if p.bar != nil {
		_ = p.bar.Add(1) // see above
		if r.OK() {
			return
		}
		_, _ = fmt.Fprintln(p.w)
	}
	_, _ = fmt.Fprintln(p.w, describe(r))
}

func describe(r Record) string {
	word := "ok"
	if !r.OK() {
		word = "WRONG"
	}
	text := fmt.Sprintf("%-6s%-40s seed %-8d %4.0f s  %5d acked  %2d kills  lost %d doubled %d over %d wrong %d  grant %.1f s  rest %.1f s",
		word, r.Class, r.Seed, r.Took, r.Acked, r.killed(), r.Lost, r.Doubled, r.Over, r.Wrong, r.Grant, r.Rest)
	if r.OK() {
		return text // what was found is no fault, such as a gap after a fence
	}
	for _, lines := range [][]string{r.Unrest, r.Findings} {
		for _, line := range lines {
			text += "\n      " + line
		}
	}
	if r.Stopped != "" {
		text += "\n      stopped: " + r.Stopped
	}
	return text
}
