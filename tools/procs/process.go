// Package procs starts the three programs as they are in production and stops them, or kills them.
package procs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyPoll   = 10 * time.Millisecond
	readyWithin = 30 * time.Second
	stopWithin  = 35 * time.Second // the programs promise 30

	tailBytes = 2 << 10
)

// Spec says how a program is started.
type Spec struct {
	Name   string   // for messages
	Binary string   // its file
	Args   []string // what follows it
	Env    []string // added to this process's environment; the last of two of one name wins
	Log    string   // file to which its output is appended
	Ready  string   // URL that answers 200 once the program is ready; "" = ready when started
}

// Process is a started program. It dies with this process (on Linux), however that ends.
type Process struct {
	spec Spec

	mu  sync.Mutex
	run *run
}

// run is one life of a Process.
type run struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of Wait; valid once exited is closed
}

// Start starts a program and returns when it is ready. One that ends before that, or is not ready within 30 s, is an
// error with the end of its log.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	p := &Process{spec: spec}
	if err := p.Restart(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Restart starts the program again as it was started first, on the same ports, and waits until it is ready. It must have
// ended.
func (p *Process) Restart(ctx context.Context) error {
	started, err := p.relaunch(nil)
	if err != nil {
		return err
	}
	if err := p.awaitReady(ctx, started); err != nil {
		_ = started.signal(syscall.SIGKILL) // it is of no use
		<-started.exited
		return fmt.Errorf("start %s: %w; its log ends with:\n%s", p.spec.Name, err, tail(p.spec.Log))
	}
	return nil
}

// Relaunch starts the program again, with env added to its environment for this life only, and does not wait for it. It
// must have ended.
func (p *Process) Relaunch(env ...string) error {
	_, err := p.relaunch(env)
	return err
}

func (p *Process) relaunch(env []string) (*run, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && p.run.alive() {
		return nil, fmt.Errorf("start %s: it runs already", p.spec.Name)
	}
	spec := p.spec
	spec.Env = append(slices.Clone(spec.Env), env...)
	started, err := launch(spec)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	p.run = started
	return started, nil
}

// AwaitReady returns when the program of the last start is ready. One that ends before that, or is not ready within 30 s,
// is an error.
func (p *Process) AwaitReady(ctx context.Context) error {
	if err := p.awaitReady(ctx, p.current()); err != nil {
		return fmt.Errorf("await %s: %w; its log ends with:\n%s", p.spec.Name, err, tail(p.spec.Log))
	}
	return nil
}

// launch starts the program in a process group of its own, so that a Ctrl-C at the terminal does not reach it: who started
// it stops it, in order.
func launch(spec Spec) (*run, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the program has its own
	cmd := exec.Command(spec.Binary, spec.Args...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes()
	r := &run{cmd: cmd, exited: make(chan struct{})}
	return r, r.start()
}

func (r *run) alive() bool {
	select {
	case <-r.exited:
		return false
	default:
		return true
	}
}

func (r *run) signal(s os.Signal) error {
	err := r.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (p *Process) awaitReady(ctx context.Context, r *run) error {
	if p.spec.Ready == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	for {
		last := ask(ctx, client, p.spec.Ready)
		if last == nil && r.alive() {
			return nil
		}
		select {
		case <-r.exited:
			return fmt.Errorf("it ended at once (%s)", r.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w: %w", ctx.Err(), last)
		case <-time.After(readyPoll):
		}
	}
}

func ask(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// Stop asks for an orderly end and waits for it. A program that takes more than 35 s is killed, which is an error, as is
// any exit code but 0. One that has ended already is fine if it ended well.
func (p *Process) Stop() error {
	r := p.current()
	if err := r.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.spec.Name, err)
	}
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	select {
	case <-r.exited:
	case <-late.C:
		_ = r.signal(syscall.SIGKILL)
		<-r.exited
		return fmt.Errorf("stop %s: killed, it was still there after %s; its log ends with:\n%s", p.spec.Name, stopWithin, tail(p.spec.Log))
	}
	if r.err != nil {
		return fmt.Errorf("stop %s: %w; its log ends with:\n%s", p.spec.Name, r.err, tail(p.spec.Log))
	}
	return nil
}

// Kill ends the program with SIGKILL and returns when it is gone.
func (p *Process) Kill() error {
	r := p.current()
	if err := r.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.spec.Name, err)
	}
	<-r.exited
	return nil
}

// Pause freezes the program (SIGSTOP): its connections stay open and nothing answers.
func (p *Process) Pause() error { return p.current().signal(syscall.SIGSTOP) }

// Resume lets a paused program go on.
func (p *Process) Resume() error { return p.current().signal(syscall.SIGCONT) }

// Exited is closed when the program of the last start has ended, for whatever reason.
func (p *Process) Exited() <-chan struct{} { return p.current().exited }

// Ending returns how the program of the last start ended, and nil while it runs.
func (p *Process) Ending() *os.ProcessState {
	r := p.current()
	if r.alive() {
		return nil
	}
	return r.cmd.ProcessState
}

// PID returns the process id of the last start.
func (p *Process) PID() int { return p.current().cmd.Process.Pid }

// Log returns the file with the program's output.
func (p *Process) Log() string { return p.spec.Log }

func (p *Process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// tail returns the end of a log for a message.
func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(content[max(0, len(content)-tailBytes):]))
}
