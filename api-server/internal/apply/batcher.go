package apply

import (
	"runtime"
	"sync"
	"time"
)

// batcher hands queued items to one handler call at a time, up to max at once: while a call runs, the next batch grows.
// It never waits for a batch to fill, keeps the order of arrival, and has a goroutine only while there is work. Work that is
// in no hurry rests after a batch that was not full, so that fewer calls carry more.
type batcher[T any] struct {
	max    int
	rest   time.Duration
	handle func([]T)      // the slice is reused after the call returns
	rescue func([]T, any) // is given the batch whose handling panicked, and the panic

	mu      sync.Mutex
	queue   []T
	running bool
	batch   []T
}

func (b *batcher[T]) add(items ...T) {
	b.mu.Lock()
	b.queue = append(b.queue, items...)
	idle := !b.running
	b.running = true
	b.mu.Unlock()
	if idle {
		go b.drain()
	}
}

func (b *batcher[T]) drain() {
	for b.next() {
		b.work()
		if b.rest > 0 && len(b.batch) < b.max {
			time.AfterFunc(b.rest, b.drain) // still running, for whoever adds
			return
		}
	}
}

// work keeps a panic to its batch: the others must not die with it.
func (b *batcher[T]) work() {
	defer func() {
		if p := recover(); p != nil {
			b.rescue(b.batch, p)
		}
	}()
	b.handle(b.batch)
}

// next moves the oldest items into b.batch, which only the draining goroutine reads.
func (b *batcher[T]) next() bool {
	runtime.Gosched() // whoever can run now may have an item for this batch
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batch, b.queue = moveFirst(b.batch, b.queue, b.max)
	b.running = len(b.batch) > 0
	return b.running
}

// moveFirst moves the first n items of queue, or as many as there are, to batch in place of what was there. Neither keeps
// alive what is no longer in it.
func moveFirst[T any](batch, queue []T, n int) (moved, rest []T) {
	n = min(n, len(queue))
	clear(batch)
	batch = append(batch[:0], queue[:n]...)
	left := copy(queue, queue[n:])
	clear(queue[left:])
	return batch, queue[:left]
}
