package world

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
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
	arms  []Arm    // that have not killed it yet: every life carries all of them
	env   []string // of every life to come, besides
	since int64    // where this life's output begins in the log
	up    bool     // this life is running or being started
}

// Arm is a crash point and the pass of it at which the program dies.
type Arm struct {
	Point failpoint.Point
	Pass  int
}

// list is the arms as SEONCHAK_FAILPOINTS names them.
func list(arms []Arm) string {
	var entries []string
	for _, a := range arms {
		entries = append(entries, fmt.Sprintf("%s=%d", a.Point, a.Pass))
	}
	return strings.Join(entries, ",")
}

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
	p.up = false
	state := p.process.Ending()
	status, _ := state.Sys().(syscall.WaitStatus)
	death := Death{Program: p.Kind, Killed: status.Signaled() && status.Signal() == syscall.SIGKILL, How: state.String()}
	if found := died.FindStringSubmatch(p.output()); death.Killed && found != nil {
		death.Point = failpoint.Point(found[1])
		p.arms = slices.DeleteFunc(p.arms, func(a Arm) bool { return a.Point == death.Point })
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

// revive starts the next life, with the arms that are left.
func (p *Program) revive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	env := slices.Clone(p.env)
	if len(p.arms) > 0 {
		env = append(env, "SEONCHAK_FAILPOINTS="+list(p.arms))
	}
	if info, err := os.Stat(p.process.Log()); err == nil {
		p.since = info.Size()
	}
	if err := p.process.Relaunch(env...); err != nil {
		return err
	}
	p.up = true
	return nil
}

// Kill ends this life with SIGKILL; the next begins by itself.
func (p *Program) Kill() error { return p.process.Kill() }

// Freeze stops the program where it is (SIGSTOP) until Thaw.
func (p *Program) Freeze() error { return p.process.Pause() }

// Thaw lets it go on.
func (p *Program) Thaw() error { return p.process.Resume() }

// Arm lets the program's next lives end at the points, each at the one it comes to first of those that are left. The first
// begins at once, with a SIGKILL.
func (p *Program) Arm(arms ...Arm) error {
	p.mu.Lock()
	p.arms = append(p.arms, arms...)
	p.mu.Unlock()
	return p.Kill()
}

// Armed reports whether the program is armed with a point that has not killed it yet.
func (p *Program) Armed(point failpoint.Point) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.arms, func(a Arm) bool { return a.Point == point })
}

// Fired reports whether every point the program was armed with has killed it.
func (p *Program) Fired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.arms) == 0
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
	special := len(p.arms) > 0 || len(p.env) > 0
	p.arms, p.env = nil, nil
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
		up := p.up && len(p.arms) == 0 && p.process.Ending() == nil
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
