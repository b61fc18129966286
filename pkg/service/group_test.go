package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errBroken = errors.New("broken")

// diary notes what happened in which order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) step(line string, err error) func(context.Context) error {
	return func(context.Context) error {
		d.note(line)
		return err
	}
}

// part runs until its context ends.
func (d *diary) part(line string, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		d.note(line)
		return errors.Join(ctx.Err(), err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// cancelledContext is the context of a process that has just been signalled.
func cancelledContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestStopRunsInReverseOrderOfStart(t *testing.T) {
	t.Parallel()
	var d diary
	err := Run(cancelledContext(), quiet(), func(_ context.Context, group *Group) error {
		group.OnStop("mysql", time.Second, d.step("mysql", nil))
		group.OnStop("producer", time.Second, d.step("producer", nil))
		group.Go("coalescer", time.Second, d.part("coalescer", nil))
		group.Go("listener", time.Second, d.part("listener", nil))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"listener", "coalescer", "producer", "mysql"}, d.lines)
}

func TestPartsOutliveTheSignalUntilTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		err := Run(cancelledContext(), quiet(), func(_ context.Context, group *Group) error {
			group.Go("worker", time.Second, d.part("worker", nil))
			group.OnStop("drain", 5*time.Second, func(ctx context.Context) error {
				<-time.After(4 * time.Second)
				synctest.Wait()
				d.note("drained")
				return ctx.Err()
			})
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []string{"drained", "worker"}, d.lines)
	})
}

func TestEveryFailureOfAStopIsReported(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	var d diary
	err := Run(cancelledContext(), quiet(), func(_ context.Context, group *Group) error {
		group.OnStop("a", time.Second, d.step("a", errBroken))
		group.Go("b", time.Second, d.part("b", other))
		group.OnStop("c", time.Second, func(context.Context) error { panic("at the disco") })
		return nil
	})
	require.ErrorIs(t, err, errBroken)
	require.ErrorIs(t, err, other)
	require.ErrorContains(t, err, "stop a: broken")
	require.ErrorContains(t, err, "stop c: panic: at the disco")
	require.Equal(t, []string{"b", "a"}, d.lines, "one failed step does not keep the next from running")
}

func TestAHangingStepIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		hang := func(context.Context) error { <-release; return nil }
		var d diary
		began := time.Now()
		err := Run(cancelledContext(), quiet(), func(_ context.Context, group *Group) error {
			group.OnStop("mysql", time.Second, d.step("mysql", nil))
			group.OnStop("producer", 3*time.Second, hang)
			group.Go("worker", 2*time.Second, hang)
			return nil
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "stop worker")
		require.ErrorContains(t, err, "stop producer: not done within 3s")
		require.Equal(t, []string{"mysql"}, d.lines)
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestAllStepsTogetherAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		var d diary
		began := time.Now()
		err := Run(cancelledContext(), quiet(), func(_ context.Context, group *Group) error {
			group.OnStop("mysql", time.Second, d.step("mysql", nil))
			for range 3 {
				group.OnStop("hangs", 10*time.Second, func(context.Context) error { <-release; return nil })
			}
			return nil
		})
		require.ErrorContains(t, err, "stop mysql: no time was left")
		require.Empty(t, d.lines)
		require.Equal(t, stopTotal, time.Since(began))
	})
}

func TestAPartThatEndsEndsTheProcess(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		part func(context.Context) error
		want string
	}{
		"with an error":      {func(context.Context) error { return errBroken }, "worker: broken"},
		"with a panic":       {func(context.Context) error { panic("at the disco") }, "worker: panic: at the disco"},
		"because it is done": {func(context.Context) error { return nil }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d diary
			err := Run(t.Context(), quiet(), func(_ context.Context, group *Group) error {
				group.OnStop("mysql", time.Second, d.step("mysql", nil))
				group.Go("other", time.Second, d.part("other", nil))
				group.Go("worker", time.Second, c.part)
				return nil
			})
			require.Equal(t, []string{"other", "mysql"}, d.lines)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "stop worker", "its error is reported once")
		})
	}
}

func TestAPartThatFailsDuringTheStopIsReported(t *testing.T) {
	t.Parallel()
	fail, failed := make(chan struct{}), make(chan struct{})
	err := Run(cancelledContext(), quiet(), func(_ context.Context, group *Group) error {
		group.Go("worker", time.Second, func(context.Context) error {
			<-fail
			defer close(failed)
			return errBroken
		})
		group.OnStop("first", time.Second, func(context.Context) error {
			close(fail)
			<-failed
			return nil
		})
		return nil
	})
	require.ErrorIs(t, err, errBroken)
}

func TestAFailedSetupIsStoppedToo(t *testing.T) {
	t.Parallel()
	var d diary
	err := Run(t.Context(), quiet(), func(_ context.Context, group *Group) error {
		group.Go("listener", time.Second, d.part("listener", nil))
		return errBroken
	})
	require.ErrorIs(t, err, errBroken)
	require.Equal(t, []string{"listener"}, d.lines)
}

func TestSetupHearsOfAPartThatFailed(t *testing.T) {
	t.Parallel()
	err := Run(t.Context(), quiet(), func(ctx context.Context, group *Group) error {
		group.Go("listener", time.Second, func(context.Context) error { return errBroken })
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorIs(t, err, errBroken)
	require.False(t, cancelled(err))
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	require.True(t, cancelled(context.Canceled))
	require.True(t, cancelled(errors.Join(context.Canceled, wrap("fetch", context.Canceled))))
	require.False(t, cancelled(context.DeadlineExceeded))
	require.False(t, cancelled(wrap("fetch", errors.Join(context.Canceled, errBroken))))
}
