// Command batch runs the jobs beside the pipeline: it migrates, retries failed events, sweeps, reconciles and
// rebuilds.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/seonchak/seonchak/pkg/env"
	"github.com/seonchak/seonchak/pkg/service"
)

// The exit codes: what cron and a person need to know of a run.
const (
	exitOK            = 0
	exitFailed        = 1 // a failure, or a difference
	exitMisconfigured = 2
)

const name = "batch"

func main() { os.Exit(run(service.ThisProcess())) }

// run is the whole program but os.Exit.
func run(system service.System) int {
	c := &cli{system: system}
	root := c.root()
	root.SetArgs(append([]string{}, system.Args...)) // nil would mean the arguments of the process
	root.SetOut(system.Stdout)
	root.SetErr(system.Stderr)
	if err := root.Execute(); err != nil { // every command answers with c.code: only the command line can be wrong here
		return c.refuse(err)
	}
	return c.code
}

// refuse says what is wrong with the command line beside all that is wrong with the environment, one a line.
func (c *cli) refuse(mistakes ...error) int {
	_, err := env.Load[settings](c.system.Environ)
	for line := range strings.SplitSeq(errors.Join(append(mistakes, err)...).Error(), "\n") {
		_, _ = fmt.Fprintf(c.system.Stderr, "%s: %s\n", name, line) // standard error is the last place to complain
	}
	return exitMisconfigured
}
