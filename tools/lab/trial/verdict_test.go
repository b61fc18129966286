package trial

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/lab/serve"
	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/procs"
)

var runs = flag.Int("lab.runs", 1, "how often each verdict is reached")

// TestMain plays a server when a trial starts this binary as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		command := serve.Command()
		command.SetArgs(os.Args[2:])
		if command.Execute() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "12") // they wait for stores and for each other, not for a processor
	os.Exit(m.Run())
}

const (
	lease    = time.Minute            // of a lock or guard that is not to lapse
	lapse    = 100 * time.Millisecond // the lease where its lapse is what is looked at
	within   = 10 * time.Second       // what is awaited comes
	solitude = 200 * time.Millisecond // for two of whom one is kept out
)

// keptOut are the strategies of which two never are between the read and the write, clicksKeptOut those of which two clicks
// of one user never are. Of all others two meet there, if there is a read.
var (
	keptOut       = []string{"for-update", "idempotency-key-inside"}
	clicksKeptOut = append([]string{"unique-key", "redis-setnx"}, keptOut...)
)

// verdicts says what each strategy comes to when two are between the read and the write, and when a server dies halfway.
// The figures that are not named are 0.
var verdicts = map[string]struct{ two, clicks, points, crash Verdict }{
	"naive": {
		two: Verdict{Over: 1, Miscounted: 1}, clicks: Verdict{Over: 1, Twice: 1, Wrong: 1, Miscounted: 1},
		points: Verdict{Lost: 1}, crash: Verdict{Over: 1, Miscounted: 1},
	},
	"process-mutex": {
		two: Verdict{Over: 1, Miscounted: 1}, clicks: Verdict{Over: 1, Twice: 1, Wrong: 1, Miscounted: 1},
		points: Verdict{Lost: 1}, crash: Verdict{Over: 1, Miscounted: 1},
	},
	"unique-key":    {},
	"for-update":    {},
	"optimistic":    {},
	"atomic-update": {},
	"isolation-read-committed": {
		two: Verdict{Over: 1, Miscounted: 1}, clicks: Verdict{Over: 1, Twice: 1, Wrong: 1, Miscounted: 1}, points: Verdict{Lost: 1},
	},
	"isolation-repeatable-read": {
		two: Verdict{Over: 1, Miscounted: 1}, clicks: Verdict{Over: 1, Twice: 1, Wrong: 1, Miscounted: 1}, points: Verdict{Lost: 1},
	},
	"isolation-serializable": {},
	"redis-incr":             {clicks: Verdict{Twice: 1, Wrong: 1}, crash: Verdict{Burned: 1}},
	"redis-incr-sadd":        {clicks: Verdict{Burned: 1}, crash: Verdict{Burned: 1}},
	"redis-setnx":            {two: Verdict{Over: 1, Miscounted: 1}, crash: Verdict{Wrong: 1}},
	"redis-lock": {
		two: Verdict{Over: 1, Miscounted: 1}, clicks: Verdict{Over: 1, Twice: 1, Wrong: 1, Miscounted: 1},
		points: Verdict{Lost: 1}, crash: Verdict{Over: 1, Miscounted: 1},
	},
	"redis-lock-fenced":       {},
	"redis-set":               {two: Verdict{Over: 1}, crash: Verdict{Lost: 1}},
	"redis-list":              {crash: Verdict{Lost: 1}},
	"redis-list-reliable":     {},
	"idempotency-key-outside": {clicks: Verdict{Twice: 1, Wrong: 1}},
	"idempotency-key-inside":  {},
	"external-call":           {crash: Verdict{Lost: 1}},
	"external-call-outbox":    {},
	"kafka-direct":            {crash: Verdict{Lost: 1}},
}

func testStores(t *testing.T) procs.Stores {
	t.Helper()
	return procs.Stores{Redis: testenv.Redis(t), Kafka: strings.Join(testenv.Kafka(t), ","), MySQL: testenv.EmptyDatabase(t)}
}

func ground(t *testing.T, stores procs.Stores, spec strategy.Spec, limit int) *Ground {
	t.Helper()
	g, err := NewGround(t.Context(), stores, spec, limit)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return g
}

// served starts instances of a strategy in this process, which share the stores and the hook, and returns their crowd and
// their worlds. A lock's lease lapses while its holder pauses: that is what is wrong with it.
func served(t *testing.T, g *Ground, instances int, afterRead func()) (*Crowd, []*strategy.World) {
	t.Helper()
	c := &Crowd{campaign: g.Name}
	var worlds []*strategy.World
	leased := lease
	if strings.HasPrefix(g.Spec.Name, "redis-lock") {
		leased = lapse
	}
	for i := range instances {
		w := g.World()
		w.First, w.Lease, w.AfterRead = i == 0, leased, afterRead
		s := g.Spec.New(w)
		server := httptest.NewServer(serve.Handler(s, w))
		t.Cleanup(server.Close)
		c.servers = append(c.servers, server.Listener.Addr().String())
		worlds = append(worlds, w)
		if worker, ok := s.(strategy.Worker); ok {
			work(t, worker)
		}
	}
	return c, worlds
}

func work(t *testing.T, worker strategy.Worker) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { _ = worker.Work(ctx) })
	t.Cleanup(func() { cancel(); ended.Wait() })
}

// meet returns a function that holds its callers until two are in it, however long that takes, and then nobody any more. one
// is closed when the first is in it.
func meet(t *testing.T) (hold func(), one <-chan struct{}) {
	t.Helper()
	ctx := t.Context()
	var in atomic.Int64
	first, both := make(chan struct{}), make(chan struct{})
	return func() {
		switch in.Add(1) {
		case 1:
			close(first)
		case 2:
			close(both)
		}
		select {
		case <-both:
		case <-ctx.Done(): // the test is over
		}
	}, first
}

// linger returns a function that holds its first caller for a while, and those who come meanwhile.
func linger() func() {
	var once sync.Once
	return func() { once.Do(func() { <-time.After(solitude) }) }
}

// between is what the callers of a strategy do between the read and the write: they meet, unless it keeps them apart.
func between(t *testing.T, spec strategy.Spec, apart []string) func() {
	t.Helper()
	if slices.Contains(apart, spec.Name) {
		return linger()
	}
	hold, _ := meet(t)
	return hold
}

// atOnce lets each user apply at a server of its own.
func (c *Crowd) atOnce(users ...string) {
	var next atomic.Int64
	c.each(len(users), func(d *door) {
		user := users[next.Add(1)-1]
		d.insist(func() try { return d.apply(user) })
	})
}

func (g *Ground) verdict(t *testing.T, c *Crowd) Verdict {
	t.Helper()
	require.NoError(t, g.Rest(t.Context()))
	r, err := g.Record(t.Context())
	require.NoError(t, err)
	v := judge(g.Limit, c.tries, r)
	v.Unordered = 0 // of two at once nobody is first
	return v
}

// each runs a test of each strategy side by side.
func each(t *testing.T, test func(t *testing.T, stores procs.Stores, spec strategy.Spec)) {
	t.Helper()
	require.Len(t, verdicts, len(strategy.All))
	stores := testStores(t)
	for _, spec := range strategy.All {
		for run := range *runs {
			t.Run(fmt.Sprintf("%s/%d", spec.Name, run), func(t *testing.T) {
				t.Parallel()
				test(t, stores, spec)
			})
		}
	}
}

func TestTwoWantTheLastPlace(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, stores procs.Stores, spec strategy.Spec) {
		g := ground(t, stores, spec, 1)
		c, worlds := served(t, g, 2, between(t, spec, keptOut))
		c.atOnce("u-2", "u-3")
		require.Equal(t, verdicts[spec.Name].two, g.verdict(t, c))
		switch spec.Name {
		case "optimistic":
			require.Positive(t, worlds[0].Retries.Load()+worlds[1].Retries.Load())
		case "redis-lock-fenced":
			require.Positive(t, worlds[0].Fenced.Load()+worlds[1].Fenced.Load())
		case "isolation-serializable":
			require.Positive(t, worlds[0].Deadlocks.Load()+worlds[1].Deadlocks.Load())
		}
	})
}

func TestADoubleClick(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, stores procs.Stores, spec strategy.Spec) {
		g := ground(t, stores, spec, 2)
		c, _ := served(t, g, 2, between(t, spec, clicksKeptOut))
		c.atOnce("u-2", "u-2")
		c.atOnce("u-3")
		c.atOnce("u-4")
		require.Equal(t, verdicts[spec.Name].clicks, g.verdict(t, c))
	})
}

func TestTwoAddPoints(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, stores procs.Stores, spec strategy.Spec) {
		want := verdicts[spec.Name].points
		if _, ok := spec.New(&strategy.World{}).(strategy.Adder); !ok {
			require.Zero(t, want)
			return
		}
		g := ground(t, stores, spec, 1)
		require.NoError(t, g.OpenAccount(t.Context()))
		c, _ := served(t, g, 2, between(t, spec, keptOut))
		c.add(t.Context(), Case{Connections: 2, Applies: 2})
		r, err := g.Record(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, judgePoints(c.tries, r))
	})
}

func TestAServerDiesHalfway(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, stores procs.Stores, spec strategy.Spec) {
		g, err := NewGround(t.Context(), stores, spec, 2)
		require.NoError(t, err)
		s, err := startServers(t.Context(), g, 2, 1, t.TempDir())
		t.Cleanup(func() { require.NoError(t, s.close()) })
		require.NoError(t, err)
		c := &Crowd{servers: s.listen, campaign: g.Name}
		d := c.door(1) // at the second server: the first may have work of its own to die of
		defer d.close()
		for _, user := range []string{"u-2", "u-3", "u-4", "u-5"} {
			d.insist(func() try { return d.apply(user) })
		}
		require.Eventually(t, func() bool { // work in the background may come to it later
			died, err := g.Redis.Exists(t.Context(), g.Name+":crashed").Result()
			return err == nil && died == 1
		}, within, time.Millisecond)
		require.Equal(t, verdicts[spec.Name].crash, g.verdict(t, c))
	})
}

// TestAServerThatEndsByItself is no crash that was planned, with one or without.
func TestAServerThatEndsByItself(t *testing.T) {
	t.Parallel()
	spec, _ := strategy.Find("for-update")
	stores := testStores(t)
	for _, crashAt := range []int{0, 1_000} {
		g, err := NewGround(t.Context(), stores, spec, 1)
		require.NoError(t, err)
		s, err := startServers(t.Context(), g, 1, crashAt, t.TempDir())
		require.NoError(t, err)
		require.NoError(t, s.processes[0].Kill())
		require.Eventually(t, func() bool { return s.failure() != nil }, within, time.Millisecond)
		require.ErrorContains(t, s.close(), "ended by itself")
	}
}

func TestAMutexIsRightInOneProcess(t *testing.T) {
	t.Parallel()
	spec, _ := strategy.Find("process-mutex")
	g := ground(t, testStores(t), spec, 1)
	c, _ := served(t, g, 1, linger())
	c.atOnce("u-2", "u-3", "u-2", "u-3")
	require.Zero(t, g.verdict(t, c))
}

// TestAGuardThatIsGone clicks again while the first click is still at it: after the TTL, or when Redis has come back empty.
func TestAGuardThatIsGone(t *testing.T) {
	t.Parallel()
	spec, _ := strategy.Find("redis-setnx")
	private := testenv.PrivateRedis(t)
	stores := testStores(t)
	stores.Redis = private.URL
	g := ground(t, stores, spec, 4)
	for i, lose := range []func(){func() {}, func() { private.Kill(); private.Start() }} {
		hold, one := meet(t)
		c, worlds := served(t, g, 1, hold)
		if i == 0 {
			worlds[0].Lease = lapse
		}
		user := fmt.Sprint("u-", i)
		var first sync.WaitGroup
		first.Go(func() { c.atOnce(user) })
		<-one
		lose()
		require.Eventually(t, func() bool { return g.guards(t, user) == 0 }, within, time.Millisecond)
		c.atOnce(user)
		first.Wait()
		require.Equal(t, i+1, g.verdict(t, c).Twice)
	}
}

func (g *Ground) guards(t *testing.T, user string) int64 {
	t.Helper()
	found, err := g.Redis.Exists(t.Context(), g.Name+":event:"+user).Result()
	require.NoError(t, err)
	return found
}

// TestAPartnerTimesOut has a user whose reward came and was not acknowledged, and one whose call never arrived.
func TestAPartnerTimesOut(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Verdict{"external-call": {Twice: 1, Lost: 1}, "external-call-outbox": {}} {
		spec, _ := strategy.Find(name)
		g := ground(t, testStores(t), spec, 2)
		c, _ := served(t, g, 2, func() {})
		c.atOnce("u-10", "u-11")
		require.Equal(t, want, g.verdict(t, c), name)
	}
}

// TestARefusalIsReplayed gives a place back and asks again.
func TestARefusalIsReplayed(t *testing.T) {
	t.Parallel()
	spec, _ := strategy.Find("idempotency-key-inside")
	g := ground(t, testStores(t), spec, 1)
	c, _ := served(t, g, 1, func() {})
	d := c.door(0)
	defer d.close()
	require.Equal(t, strategy.Granted, d.apply("u-2").outcome)
	require.Equal(t, strategy.SoldOut, d.apply("u-3").outcome)
	_, err := g.DB.ExecContext(t.Context(), `UPDATE campaign SET quota = 2`)
	require.NoError(t, err)
	require.Equal(t, strategy.SoldOut, d.apply("u-3").outcome)
	require.Equal(t, strategy.Replayed, d.apply("u-2").outcome)
}
