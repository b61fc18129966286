package apply

import (
	"runtime"
	"sync"
)

// turns hands the tickets that wait at all lanes to one handler call at a time: while a call runs, the next one's grow. The
// lanes take turns, so that a crowd at one campaign does not keep those of another waiting; in a lane the order is that of
// arrival. Like a batcher it never waits for more to come, and has a goroutine only while there is work.
type turns struct {
	perLane, together int                  // how many tickets a call takes of one lane, and about how many of all
	handle            func([]*lane)        // finds them in each lane's taken; both are reused after the call returns
	rescue            func([]*ticket, any) // is given what was taken of a lane by a call that panicked, and the panic

	mu      sync.Mutex
	queue   []*lane // those at which tickets wait, each once, the one whose turn is next first
	running bool
	lanes   []*lane // of the call under way
}

func (q *turns) add(t *ticket) {
	q.mu.Lock()
	if len(t.lane.waiting) == 0 {
		q.queue = append(q.queue, t.lane)
	}
	t.lane.waiting = append(t.lane.waiting, t)
	idle := !q.running
	q.running = true
	q.mu.Unlock()
	if idle {
		go q.drain()
	}
}

func (q *turns) drain() {
	for q.next() {
		q.work()
	}
}

// work keeps a panic to its call: the others must not die with it.
func (q *turns) work() {
	defer func() {
		if p := recover(); p != nil {
			for _, l := range q.lanes {
				q.rescue(l.taken, p)
			}
		}
	}()
	q.handle(q.lanes)
}

// next takes the tickets of the lanes whose turn it is; only the draining goroutine reads what was taken.
func (q *turns) next() bool {
	runtime.Gosched() // whoever can run now may have a ticket for this call
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.lanes {
		clear(l.taken)
		l.taken = l.taken[:0]
	}
	clear(q.lanes)
	q.lanes = q.lanes[:0]
	turn := 0
	for taken := 0; turn < len(q.queue) && taken < q.together; turn++ {
		l := q.queue[turn]
		l.taken, l.waiting = moveFirst(l.taken, l.waiting, q.perLane)
		taken += len(l.taken)
		q.lanes = append(q.lanes, l)
	}
	q.queue = append(q.queue[:0], q.queue[turn:]...)
	for _, l := range q.lanes {
		if len(l.waiting) > 0 {
			q.queue = append(q.queue, l)
		}
	}
	q.running = len(q.lanes) > 0
	return q.running
}
