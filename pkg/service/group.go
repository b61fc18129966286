package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stopTotal bounds all stop steps together. Who ends processes from outside usually waits 30 s.
const stopTotal = 25 * time.Second

// readinessBound is what the step of Group.Ready may take beyond its wait.
const readinessBound = time.Second

// Group is the parts of a process and the steps that stop them. It is used from one goroutine, the one that sets up.
type Group struct {
	logger  *slog.Logger
	running context.Context // ends when the stop begins; its cause says why
	end     context.CancelCauseFunc
	base    context.Context // outlives running: a part is stopped by its own step
	steps   []step
}

type step struct {
	name  string
	bound time.Duration
	stop  func(ctx context.Context) error
}

// Run calls setup, waits until ctx ends or a part of the group does, and then runs the stop steps in the reverse order
// of their registration: what was built on top of something stops before it. A failed setup is stopped the same way.
// All steps together have 25 s, so their bounds should not add up to more. The error joins that of setup, of the part
// that ended first, and of every step.
func Run(ctx context.Context, logger *slog.Logger, setup func(ctx context.Context, group *Group) error) error {
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	group := &Group{logger: logger, running: running, end: end, base: context.WithoutCancel(ctx)}
	err := guard(func() error { return setup(running, group) })
	if err == nil {
		<-running.Done()
	}
	var part *ended
	if errors.As(context.Cause(running), &part) && part.err != nil {
		err = errors.Join(err, part.err)
	}
	return errors.Join(err, group.stop())
}

// OnStop registers a step of the stop. Its context ends after bound, and then the stop goes on without it.
func (g *Group) OnStop(name string, bound time.Duration, stop func(ctx context.Context) error) {
	g.steps = append(g.steps, step{name, bound, stop})
}

// Go starts a part that runs until its context ends, and registers its stop: its context is cancelled and it has bound
// to return. A part that returns, or panics, before that ends the process.
func (g *Group) Go(name string, bound time.Duration, run func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(g.base)
	returned := make(chan error, 1)
	go func() {
		err := guard(func() error { return run(ctx) })
		if ctx.Err() == nil && g.endedBy(name, err) {
			err = nil // it is reported as the cause of the stop
		}
		returned <- err
	}()
	g.OnStop(name, bound, func(ctx context.Context) error {
		cancel()
		select {
		case err := <-returned:
			if err == nil || cancelled(err) {
				return nil
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// endedBy begins the stop because a part has returned, and reports whether that is what began it.
func (g *Group) endedBy(name string, err error) bool {
	g.logger.Info("ended by itself", "part", name)
	cause := &ended{name, wrap(name, err)}
	g.end(cause)
	return errors.Is(context.Cause(g.running), cause)
}

// Serve starts a server as a part of the group.
func (g *Group) Serve(server *HTTPServer) {
	const margin = time.Second // for what Serve does after its own deadline
	g.logger.Info("listening", "name", server.name, "address", server.Addr())
	g.Go(server.name, server.drain+margin, server.Serve)
}

// Ready says that the start is done. Registered last, its step is the first of the stop: it takes readiness off and gives
// balancers wait to notice, while requests are still served.
func (g *Group) Ready(admin *Admin, wait time.Duration) {
	admin.Ready()
	g.logger.Info("ready")
	g.OnStop("readiness", wait+readinessBound, func(ctx context.Context) error { return admin.Drain(ctx, wait) })
}

func (g *Group) stop() error {
	total, cancel := context.WithTimeout(g.base, stopTotal)
	defer cancel()
	var failures []error
	for i := len(g.steps) - 1; i >= 0; i-- {
		s := g.steps[i]
		began := time.Now()
		err := s.run(total)
		if err == nil {
			g.logger.Info("stop step done", "step", s.name, "took", time.Since(began).String())
			continue
		}
		g.logger.Error("did not stop in order", "step", s.name, "took", time.Since(began).String(), "error", err)
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// run leaves a step that does not come back behind: the next ones matter more than its goroutine.
func (s step) run(total context.Context) error {
	if total.Err() != nil {
		return fmt.Errorf("stop %s: no time was left", s.name)
	}
	ctx, cancel := context.WithTimeout(total, s.bound)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- guard(func() error { return s.stop(ctx) }) }()
	select {
	case err := <-done:
		return wrap("stop "+s.name, err)
	case <-ctx.Done():
		return fmt.Errorf("stop %s: not done within %s: %w", s.name, s.bound, ctx.Err())
	}
}

// ended is why a group stops without being asked to.
type ended struct {
	part string
	err  error // nil when the part was simply done
}

func (e *ended) Error() string { return e.part + " ended" }

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
