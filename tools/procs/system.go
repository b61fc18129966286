package procs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/seonchak/seonchak/pkg/freeport"
)

// Run runs a program to its end and returns what it wrote, to standard output and error together, and its exit code. An
// exit code other than 0 is no error. When ctx ends the program is asked to stop as Stop does it, which is an error.
func Run(ctx context.Context, spec Spec) (output string, code int, err error) {
	runtime.LockOSThread() // for attributes
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, spec.Binary, spec.Args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWithin
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.SysProcAttr = attributes()
	var written strings.Builder
	cmd.Stdout, cmd.Stderr = &written, &written
	err = cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() == nil && errors.As(err, &exit) {
		return written.String(), exit.ExitCode(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err() // and not that the signal was its end
	}
	if err != nil {
		return written.String(), -1, fmt.Errorf("run %s: %w", spec.Name, err)
	}
	return written.String(), 0, nil
}

// FreeAddress returns a loopback address on which nobody listens; freeport says how long that holds.
func FreeAddress() (string, error) {
	port, err := freeport.Next()
	if err != nil {
		return "", err
	}
	return net.JoinHostPort("127.0.0.1", port), nil
}

// Memory returns how many bytes of memory the program holds now, and the most it ever held.
func (p *Process) Memory() (now, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, 0, fmt.Errorf("memory of %s: %w", p.spec.Name, err)
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes); n == 1 {
			now = kilobytes << 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			peak = kilobytes << 10
		}
	}
	if now == 0 {
		return 0, 0, fmt.Errorf("memory of %s: it has ended", p.spec.Name)
	}
	return now, peak, nil
}
