package apply

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBatcherKeepsOrderAndRunsOneBatchAtATime(t *testing.T) {
	t.Parallel()
	const producers, each = 32, 500
	type item struct{ producer, n int }
	var (
		running sync.Mutex
		last    [producers]int
		done    sync.WaitGroup
	)
	done.Add(producers * each)
	b := &batcher[item]{max: 7, handle: func(batch []item) {
		if !running.TryLock() {
			t.Error("two batches at once")
			return
		}
		defer running.Unlock()
		if len(batch) == 0 || len(batch) > 7 {
			t.Errorf("batch of %d", len(batch))
		}
		for _, i := range batch {
			if i.n != last[i.producer]+1 {
				t.Errorf("producer %d: %d came after %d", i.producer, i.n, last[i.producer])
			}
			last[i.producer] = i.n
			done.Done()
		}
	}}
	for p := range producers {
		go func() {
			for n := 1; n <= each; n++ {
				b.add(item{p, n})
			}
		}()
	}
	done.Wait()
	for p := range producers {
		require.Equal(t, each, last[p])
	}
}

// Work in no hurry is gathered for as long as it rests, unless there is a full batch of it.
func TestABatcherThatRestsMakesFewerCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		type call struct {
			after time.Duration
			items int
		}
		var calls []call
		b := &batcher[int]{max: 5, rest: 20 * time.Millisecond, handle: func(batch []int) {
			calls = append(calls, call{time.Since(began), len(batch)})
		}}
		b.add(0)
		<-time.After(2 * time.Millisecond)
		for i := range 8 {
			b.add(i)
			<-time.After(4 * time.Millisecond)
		}
		b.add(make([]int, 7)...)
		<-time.After(time.Second)
		const ms = time.Millisecond
		require.Equal(t, []call{{0, 1}, {20 * ms, 5}, {22 * ms, 1}, {42 * ms, 5}, {42 * ms, 4}}, calls)
	})
}
