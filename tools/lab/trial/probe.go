package trial

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"
)

const probeEvery = 5 * time.Millisecond

// probe is an unrelated query on the same database, again and again: somebody else who lives there.
type probe struct {
	db    *sql.DB
	ask   func() error
	asked []asked
	err   error

	ended   chan struct{}
	end     time.Time // valid once ended is closed
	stopped chan struct{}
	stop    func() ([]asked, error) // ends the probe
}

// asked is one query: when it was due, and how long after that it was answered.
type asked struct {
	due  time.Time
	took time.Duration
}

func startProbe(ctx context.Context, dsn string) (*probe, error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS unrelated (id INT PRIMARY KEY, body VARCHAR(64) NOT NULL)`); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p := newProbe(func() error {
		var count int
		return db.QueryRowContext(ctx, `SELECT COUNT(*) FROM unrelated WHERE id < 10`).Scan(&count)
	})
	p.db = db
	go p.run()
	return p, nil
}

func newProbe(ask func() error) *probe {
	p := &probe{ask: ask, ended: make(chan struct{}), stopped: make(chan struct{})}
	p.stop = sync.OnceValues(p.finish)
	return p
}

// run counts from when a query is due: one that waits for the query before it has waited all the same. What is due when the
// probe ends is still asked.
func (p *probe) run() {
	defer close(p.stopped)
	for due := time.Now(); ; due = due.Add(probeEvery) {
		select {
		case <-p.ended:
		case <-time.After(time.Until(due)):
		}
		if p.over(due) {
			return
		}
		if err := p.ask(); err != nil {
			p.err = err
			return
		}
		p.asked = append(p.asked, asked{due, time.Since(due)})
	}
}

// over reports whether the probe ended before a query was due.
func (p *probe) over(due time.Time) bool {
	select {
	case <-p.ended:
		return due.After(p.end)
	default:
		return false
	}
}

func (p *probe) finish() ([]asked, error) {
	p.end = time.Now()
	close(p.ended)
	<-p.stopped
	if p.db != nil {
		p.err = errors.Join(p.err, p.db.Close())
	}
	return p.asked, p.err
}

// dueWithin returns the latencies of what was due from one moment to another.
func dueWithin(all []asked, from, to time.Time) (latencies []time.Duration) {
	for _, a := range all {
		if !a.due.Before(from) && !a.due.After(to) {
			latencies = append(latencies, a.took)
		}
	}
	return latencies
}

// percentile sorts its argument in place.
func percentile(of []time.Duration, percent int) float64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return float64(of[(len(of)-1)*percent/100]) / float64(time.Millisecond)
}
