package trial

import (
	"context"
	"database/sql"
	"slices"
	"sync/atomic"
	"time"
)

const probeEvery = 5 * time.Millisecond

// probe is an unrelated query on the same database, again and again: somebody else who lives there.
type probe struct {
	db      *sql.DB
	asked   atomic.Int64
	latency []time.Duration
	ended   chan struct{}
	stopped chan struct{}
}

func startProbe(ctx context.Context, dsn string) (*probe, error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS unrelated (id INT PRIMARY KEY, body VARCHAR(64) NOT NULL)`); err != nil {
		return nil, err
	}
	p := &probe{db: db, ended: make(chan struct{}), stopped: make(chan struct{})}
	go p.run(ctx)
	return p, nil
}

func (p *probe) run(ctx context.Context) {
	defer close(p.stopped)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-tick.C:
		}
		begin := time.Now()
		var count int
		if p.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM unrelated WHERE id < 10`).Scan(&count) == nil {
			p.latency = append(p.latency, time.Since(begin))
			p.asked.Add(1)
		}
	}
}

// stop ends the probe and returns the latencies.
func (p *probe) stop() []time.Duration {
	close(p.ended)
	<-p.stopped
	_ = p.db.Close()
	return p.latency
}

// percentile sorts its argument in place.
func percentile(of []time.Duration, percent int) float64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return float64(of[(len(of)-1)*percent/100]) / float64(time.Millisecond)
}
