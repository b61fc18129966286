package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/seonchak/seonchak/tools/lab/serve"
	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/procs"
)

// target is what a crowd comes to.
type target interface {
	addresses() []string // host:port of each server
	campaign() string    // its id, and a part of the names of its keys in Redis
	// rest returns when nothing is under way any more, and since when all rows are there; zero if each came with its grant.
	rest(ctx context.Context, promised int) (lastRow time.Time, err error)
	record(ctx context.Context) (Record, error)
	crashed(ctx context.Context) (bool, error) // a server has died
	stats() serve.Stats
	close() error
}

// servers are processes of their own, so that one can be killed and two share nothing but the stores.
type servers struct {
	*Ground
	processes []*procs.Process
	listen    []string

	watched sync.WaitGroup
	ended   chan struct{}
	mu      sync.Mutex
	died    bool // as it was planned
	failed  error
}

// startServers starts so many. If crashAt is above 0 one of them dies at the given number of grants halfway, and is
// started again. After an error what is returned is to be closed all the same.
func startServers(ctx context.Context, g *Ground, count, crashAt int, logs string) (*servers, error) {
	s := &servers{Ground: g, ended: make(chan struct{})}
	binary, err := os.Executable()
	if err != nil {
		return s, err
	}
	for i := range count {
		address, err := procs.FreeAddress()
		if err != nil {
			return s, err
		}
		p, err := procs.Start(ctx, procs.Spec{
			Name: g.Spec.Name, Binary: binary, Log: filepath.Join(logs, fmt.Sprintf("%s-%d.log", g.Name, i)),
			Args: []string{
				"serve", g.Spec.Name, "--address", address, "--name", g.Name, "--limit", strconv.Itoa(g.Limit),
				"--lease", g.Lease.String(), "--first=" + strconv.FormatBool(i == 0), "--crash-at", strconv.Itoa(crashAt),
			},
			Env:   []string{"MYSQL_DSN=" + g.DSN, "REDIS_URL=" + g.stores.Redis, "KAFKA_BROKERS=" + g.stores.Kafka},
			Ready: "http://" + address + "/readyz",
		})
		if err != nil {
			return s, err
		}
		s.processes, s.listen = append(s.processes, p), append(s.listen, address)
		s.watched.Go(func() { s.watch(context.WithoutCancel(ctx), p) })
	}
	return s, nil
}

// Up serves a strategy at the address it returns until down is called. The log of the server goes to a temporary folder,
// which down removes.
func Up(
	ctx context.Context, stores procs.Stores, spec strategy.Spec, limit int, lease time.Duration,
) (address string, down func() error, err error) {
	g, err := NewGround(ctx, stores, spec, limit)
	if err != nil {
		return "", nil, err
	}
	g.Lease = lease
	logs, err := os.MkdirTemp("", "seonchak-lab-")
	if err != nil {
		return "", nil, errors.Join(err, g.Close())
	}
	s, err := startServers(ctx, g, 1, 0, logs)
	down = func() error { return errors.Join(s.close(), os.RemoveAll(logs)) }
	if err != nil {
		return "", nil, errors.Join(err, down())
	}
	return s.listen[0], down, nil
}

// watch starts a server again that has died as it was planned, once. Any other death is an error.
func (s *servers) watch(ctx context.Context, p *procs.Process) {
	for {
		select {
		case <-s.ended:
			return
		case <-p.Exited():
		}
		if err := s.revive(ctx, p); err != nil {
			s.mu.Lock()
			s.failed = errors.Join(s.failed, err)
			s.mu.Unlock()
			return
		}
	}
}

func (s *servers) revive(ctx context.Context, p *procs.Process) error {
	planned, err := s.crashed(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	planned = planned && !s.died
	s.died = s.died || planned
	s.mu.Unlock()
	if !planned {
		return fmt.Errorf("a server of %s ended by itself", s.Spec.Name)
	}
	return p.Restart(ctx)
}

func (s *servers) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *servers) addresses() []string { return s.listen }

func (s *servers) campaign() string { return s.Name }

// rest takes now for the time of the last row where work in the background makes it.
func (s *servers) rest(ctx context.Context, _ int) (lastRow time.Time, err error) {
	if err = s.Rest(ctx); err == nil && s.worker() != nil {
		lastRow = time.Now()
	}
	return lastRow, err
}

func (s *servers) record(ctx context.Context) (Record, error) { return s.Record(ctx) }

func (s *servers) crashed(ctx context.Context) (bool, error) {
	died, err := s.Redis.Exists(ctx, s.Name+":crashed").Result()
	return died == 1, err
}

// stats adds up what the servers count. What a killed one had counted is lost.
func (s *servers) stats() (sum serve.Stats) {
	for _, address := range s.listen {
		response, err := http.Get("http://" + address + "/stats")
		if err != nil {
			continue
		}
		var one serve.Stats
		err = json.NewDecoder(response.Body).Decode(&one)
		_ = response.Body.Close()
		if err == nil {
			sum.Retries, sum.Deadlocks, sum.TimeOuts = sum.Retries+one.Retries, sum.Deadlocks+one.Deadlocks, sum.TimeOuts+one.TimeOuts
		}
	}
	return sum
}

func (s *servers) close() error {
	close(s.ended)
	s.watched.Wait()
	failed := []error{s.failure()}
	for _, p := range s.processes {
		failed = append(failed, p.Kill())
	}
	return errors.Join(append(failed, s.Close())...)
}
