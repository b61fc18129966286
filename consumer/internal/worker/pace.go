package worker

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Pace limits how many records a worker handles in a second, so that a drop cannot starve what else lives on the database.
// While a fence waits for the log to be drained there is no limit: nobody can claim before it is. It is safe for concurrent
// use.
type Pace struct {
	limiter *rate.Limiter

	mu     sync.Mutex
	lifted chan struct{} // closed while there is no limit
	open   bool
}

// newPace returns a limit of perSecond, 0 for none, that lets a batch pass at once.
func newPace(perSecond float64, batch int) *Pace {
	limit := rate.Inf
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	return &Pace{limiter: rate.NewLimiter(limit, batch), lifted: make(chan struct{})}
}

// Lift takes the limit away, or puts it back. Whoever waits for it goes on at once.
func (p *Pace) Lift(lifted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == lifted {
		return
	}
	p.open = lifted
	if lifted {
		close(p.lifted)
		return
	}
	p.lifted = make(chan struct{})
}

// wait returns nil once n records may be handled, at most a batch, or ctx's error when it ends first.
func (p *Pace) wait(ctx context.Context, n int) error {
	lifted := p.free()
	select {
	case <-lifted:
		return ctx.Err() // taking nothing from the limit that will be back
	default:
	}
	place := p.limiter.ReserveN(time.Now(), n)
	timer := time.NewTimer(place.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-lifted:
		place.Cancel() // or what went past the limit would be owed to it when it is back
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Pace) free() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lifted
}
