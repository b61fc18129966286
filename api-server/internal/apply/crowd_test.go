package apply

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// sideBySide is how many applies of a crowd are under way at once.
const sideBySide = 256

// crowd is as many callers who apply in rounds. No claim is decided before all of a round wait for it, and none is confirmed
// before all are in the log: what a round costs does not depend on who was faster.
type crowd struct {
	*bench
	start chan struct{}
	round sync.WaitGroup
	acked atomic.Int64 // claims of this round
}

func newCrowd(tb testing.TB) *crowd {
	tb.Helper()
	c := &crowd{bench: setup(tb), start: make(chan struct{})}
	confirmed := c.standing
	c.claim = func(keys []coupon.Key) ([]coupon.Decision, error) {
		await(func() bool { return c.service.Depth() == sideBySide })
		return c.grantAll(keys)
	}
	c.standing = func() (coupon.Standing, error) {
		await(func() bool { return c.acked.Load() == sideBySide })
		return confirmed()
	}
	c.service.publisher = c
	for i := range sideBySide {
		go c.apply(tb, key(fmt.Sprint("u", i)))
	}
	return c
}

func await(condition func() bool) {
	for !condition() {
		runtime.Gosched()
	}
}

func (c *crowd) Publish(claim coupon.Claim, deadline time.Time, done func(error)) {
	c.bench.Publish(claim, deadline, done)
	c.acked.Add(1)
}

func (c *crowd) apply(tb testing.TB, k coupon.Key) {
	ctx := tb.Context()
	for range c.start {
		if a, err := c.service.Apply(ctx, k); err != nil || a.Status != coupon.StatusAccepted {
			tb.Errorf("%+v, %v", a, err)
		}
		c.round.Done()
	}
}

// applies has everybody apply once, and returns when all are answered.
func (c *crowd) applies() {
	c.acked.Store(0)
	c.round.Add(sideBySide)
	for range sideBySide {
		c.start <- struct{}{}
	}
	c.round.Wait()
}

// inACrowd runs the test in simulated time: however slow the machine, nobody is late.
func inACrowd(t *testing.T, test func(t *testing.T, c *crowd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		test(t, c)
		close(c.start)
		require.NoError(t, c.service.Drain(t.Context()))
		require.Len(t, c.forgotten, int(c.serial))
	})
}

// A grant costs a ticket, the channel of its answer, which is two, and what the log calls when it has it; and its share of the
// calls that it rides in.
func TestAGrantAllocatesFourTimes(t *testing.T) {
	inACrowd(t, func(t *testing.T, c *crowd) {
		allocated := testing.AllocsPerRun(100, func() {
			c.applies()
			pass(t, forgetRest)
		})
		require.Less(t, allocated/sideBySide, 4.5)
	})
}

// Whoever waits for a store waits on the goroutine that the request came with: a stage has one for all of them.
func TestAnApplyStartsNoGoroutine(t *testing.T) {
	inACrowd(t, func(t *testing.T, c *crowd) {
		const rounds = 10
		before := goroutinesStarted()
		for range rounds {
			c.applies()
			pass(t, forgetRest)
		}
		require.Less(t, goroutinesStarted()-before, uint64(8*rounds))
	})
}

func goroutinesStarted() uint64 {
	started := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(started)
	return started[0].Value.Uint64()
}

// BenchmarkGrant is what the service itself costs a grant of a crowd, on stores that answer at once.
func BenchmarkGrant(b *testing.B) {
	c := newCrowd(b)
	defer close(c.start)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += sideBySide {
		c.applies()
	}
}
