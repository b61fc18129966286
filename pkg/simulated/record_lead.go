package simulated

import (
	"context"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Lead is the row lock that makes one warden the leader. It goes with its connection: one over which nothing came for a
// while is dead, as when the answer that granted the lock was lost.
type Lead struct {
	record *Record
	heard  time.Time
}

const connectionPatience = 5 * time.Second

// Lead takes the lock, or says that another has it.
func (r *Record) Lead(ctx context.Context) (*Lead, error) {
	return transact(ctx, r, "lead", func() (*Lead, error) {
		if l := r.leader; l != nil && !l.record.line.isCut() && r.now().Sub(l.heard) < connectionPatience {
			return nil, coupon.Unavailable("another warden leads", nil)
		}
		r.leader = &Lead{record: r, heard: r.now()}
		return r.leader, nil
	})
}

// Held returns nil while the lock is this leader's.
func (l *Lead) Held(ctx context.Context) error {
	_, err := transact(ctx, l.record, "held", func() (struct{}, error) {
		if l.record.leader != l {
			return struct{}{}, coupon.Unavailable("another warden leads", nil)
		}
		l.heard = l.record.now()
		return struct{}{}, nil
	})
	return err
}

// Release gives the lock back.
func (l *Lead) Release() {
	l.record.mu.Lock()
	defer l.record.mu.Unlock()
	if l.record.leader == l {
		l.record.leader = nil
	}
}
