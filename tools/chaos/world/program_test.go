package world

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/tools/procs"
)

// mortal is a program that dies at the first point it is armed with, as if it came to that one first.
const mortal = `if [ -n "$SEONCHAK_FAILPOINTS" ]; then echo "failpoint ${SEONCHAK_FAILPOINTS%%=*}: killed" >&2; kill -9 $$; fi
if [ -n "$END" ]; then exit 3; fi
exec sleep 60`

type lives struct {
	*Program
	mu     sync.Mutex
	deaths []Death
}

func newLives(t *testing.T) *lives {
	t.Helper()
	process, err := procs.Start(t.Context(), procs.Spec{
		Name: "mortal", Binary: "/bin/sh", Args: []string{"-c", mortal}, Log: filepath.Join(t.TempDir(), "log"),
	})
	require.NoError(t, err)
	l := &lives{Program: &Program{Kind: "mortal", process: process, up: true}}
	ctx, stop := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() {
		l.supervise(ctx, func(d Death) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.deaths = append(l.deaths, d)
		})
	})
	t.Cleanup(func() {
		stop()
		watch.Wait()
		_ = process.Kill()
	})
	return l
}

func (l *lives) ended() []Death {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Death(nil), l.deaths...)
}

func (l *lives) await(t *testing.T, deaths int) []Death {
	t.Helper()
	require.Eventually(t, func() bool { return len(l.ended()) >= deaths }, 10*time.Second, 10*time.Millisecond)
	return l.ended()
}

func TestADeadProgramLivesAgain(t *testing.T) {
	t.Parallel()
	l := newLives(t)
	first := l.process.PID()
	require.NoError(t, l.Kill())
	require.Equal(t, []Death{{Program: "mortal", Killed: true, How: "signal: killed"}}, l.await(t, 1))
	require.NoError(t, l.awaitReady(t.Context()))
	require.NotEqual(t, first, l.process.PID())
}

func TestEachLifeEndsAtAPointThatIsLeft(t *testing.T) {
	t.Parallel()
	l := newLives(t)
	require.NoError(t, l.Arm(Arm{failpoint.ScriptSent, 3}, Arm{failpoint.Committed, 1}))
	deaths := l.await(t, 3)
	require.Equal(t, []failpoint.Point{"", failpoint.ScriptSent, failpoint.Committed},
		[]failpoint.Point{deaths[0].Point, deaths[1].Point, deaths[2].Point}, "the first is the SIGKILL that arming begins with")
	require.NoError(t, l.awaitReady(t.Context()))
	require.True(t, l.Fired())
	require.False(t, l.Armed(failpoint.Committed))
}

func TestPlainEndsWhatIsSpecial(t *testing.T) {
	t.Parallel()
	l := newLives(t)
	require.NoError(t, l.Setting("END=1"))
	deaths := l.await(t, 3)
	require.False(t, deaths[1].Killed, "it ended by itself")
	require.Equal(t, "exit status 3", deaths[1].How)
	require.NoError(t, l.plain(t.Context()))
	require.Nil(t, l.process.Ending())
}
