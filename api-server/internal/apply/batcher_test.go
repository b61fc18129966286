package apply

import (
	"sync"
	"testing"

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
