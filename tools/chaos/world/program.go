package world

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/tools/procs"
)

// Program is a running program that is started again whenever it dies.
type Program struct {
	Kind  string // api-server, consumer, sweep or retry-failed
	URL   string // of the public listener, of an api-server
	Admin string // of the admin listener; "" of a batch job

	process *procs.Process

	mu    sync.Mutex
	queue []Arm    // for the lives to come, one each
	armed *Arm     // of this life
	env   []string // of every life to come, besides
	since int64    // where this life's output begins in the log
	up    bool     // this life is running or being started
}

// Arm is a crash point and the pass of it at which the program dies.
type Arm struct {
	Point failpoint.Point
	Pass  int
}

func (a Arm) String() string { return fmt.Sprintf("%s=%d", a.Point, a.Pass) }

// Death is the end of one life.
type Death struct {
	Program string
	Point   failpoint.Point // "" when it was killed from outside
	Killed  bool            // by SIGKILL; otherwise it ended by itself
	How     string
}

const (
	rebirth = 100 * time.Millisecond // between a death and the next start
	lastLog = 4 << 10
)

var died = regexp.MustCompile(`(?m)^failpoint (\w+): killed$`)

// supervise starts the program again whenever it ends, until ctx does.
func (p *Program) supervise(ctx context.Context, note func(Death)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.process.Exited():
		}
		if ctx.Err() != nil {
			return
		}
		note(p.bury())
		for p.revive() != nil {
			if Pause(ctx, rebirth) != nil {
				return
			}
		}
	}
}

// bury says how the life that has ended did.
func (p *Program) bury() Death {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up, p.armed = false, nil
	state := p.process.Ending()
	status, _ := state.Sys().(syscall.WaitStatus)
	death := Death{Program: p.Kind, Killed: status.Signaled() && status.Signal() == syscall.SIGKILL, How: state.String()}
	if found := died.FindStringSubmatch(p.output()); death.Killed && found != nil {
		death.Point = failpoint.Point(found[1])
	}
	return death
}

// output is the end of what this life has written.
func (p *Program) output() string {
	content, err := os.ReadFile(p.process.Log())
	if err != nil {
		return ""
	}
	content = content[min(p.since, int64(len(content))):]
	return string(content[max(0, len(content)-lastLog):])
}

// revive starts the next life with what is armed for it.
func (p *Program) revive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	env := p.env
	if len(p.queue) > 0 {
		env = append(env[:len(env):len(env)], "SEONCHAK_FAILPOINTS="+p.queue[0].String())
	}
	if info, err := os.Stat(p.process.Log()); err == nil {
		p.since = info.Size()
	}
	if err := p.process.Relaunch(env...); err != nil {
		return err
	}
	p.up = true
	if len(p.queue) > 0 {
		p.armed, p.queue = &p.queue[0], p.queue[1:]
	}
	return nil
}

// Kill ends this life with SIGKILL; the next begins by itself.
func (p *Program) Kill() error { return p.process.Kill() }

// Freeze stops the program where it is (SIGSTOP) until Thaw.
func (p *Program) Freeze() error { return p.process.Pause() }

// Thaw lets it go on.
func (p *Program) Thaw() error { return p.process.Resume() }

// Arm lets each of the program's next lives end at one of the points; the first begins at once, with a SIGKILL.
func (p *Program) Arm(arms ...Arm) error {
	p.mu.Lock()
	p.queue = append(p.queue, arms...)
	p.mu.Unlock()
	return p.Kill()
}

// Fired reports whether every point the program was armed with has killed it.
func (p *Program) Fired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) == 0 && p.armed == nil
}

// Setting gives every life to come more environment, the next at once.
func (p *Program) Setting(env ...string) error {
	p.mu.Lock()
	p.env = env
	p.mu.Unlock()
	return p.Kill()
}

// plain makes this life one without points and settings, and returns when it is ready.
func (p *Program) plain(ctx context.Context) error {
	_ = p.process.Resume() // a frozen one cannot die in order
	p.mu.Lock()
	special := p.armed != nil || len(p.queue) > 0 || len(p.env) > 0
	p.queue, p.env = nil, nil
	p.mu.Unlock()
	if special {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	return p.awaitReady(ctx)
}

// awaitReady returns when a life is up and ready, whichever it is by then.
func (p *Program) awaitReady(ctx context.Context) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	err := Await(ctx, p.Kind+" is ready", func() bool {
		p.mu.Lock()
		up := p.up && p.armed == nil && p.process.Ending() == nil
		p.mu.Unlock()
		if !up {
			return false
		}
		last = p.process.AwaitReady(ctx)
		return last == nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// Panicked reports whether any life of the program has panicked or raced.
func (p *Program) Panicked() bool {
	content, err := os.ReadFile(p.process.Log())
	if err != nil {
		return true
	}
	for _, words := range []string{"\npanic: ", "\nfatal error: ", "WARNING: DATA RACE", "panic in a handler", "panic while issuing"} {
		if strings.Contains(string(content), words) {
			return true
		}
	}
	return false
}
