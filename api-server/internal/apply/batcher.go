package apply

import (
	"runtime"
	"sync"
)

// batcher hands queued items to one handler call at a time, up to max at once: while a call runs, the next batch grows.
// It never waits for a batch to fill, keeps the order of arrival, and has a goroutine only while there is work.
type batcher[T any] struct {
	max    int
	handle func([]T)      // the slice is reused after the call returns
	rescue func([]T, any) // is given the batch whose handling panicked, and the panic

	mu      sync.Mutex
	queue   []T
	running bool
	batch   []T
}

func (b *batcher[T]) add(item T) {
	b.mu.Lock()
	b.queue = append(b.queue, item)
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
	n := min(len(b.queue), b.max)
	b.running = n > 0
	clear(b.batch)
	b.batch = append(b.batch[:0], b.queue[:n]...)
	rest := copy(b.queue, b.queue[n:])
	clear(b.queue[rest:])
	b.queue = b.queue[:rest]
	return b.running
}
