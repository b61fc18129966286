package world

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/seonchak/seonchak/tools/procs"
)

// Population says which programs there are.
type Population struct {
	Bin       string   // folder of the programs
	Servers   int      // api-servers
	Consumers int      // consumers
	Env       []string // added to every program's environment
}

// Populate puts a fresh site into the world, with a database of its own, and starts its programs.
func (w *World) Populate(ctx context.Context, p Population) (err error) {
	dir := filepath.Join(w.config.Dir, "logs", fmt.Sprintf("site-%d", time.Now().UnixMilli()))
	if err := fresh(dir); err != nil {
		return err
	}
	stores := procs.Stores{
		Redis: "redis://" + w.links[OperatorSide][RedisStore].Address + "/0", Kafka: w.Kafka.Address, MySQL: w.MySQL.Address,
	}
	live, stop := context.WithCancel(context.Background())
	w.settlement = &settlement{stop: stop, Bin: p.Bin}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Clear())
		}
	}()
	if w.Site, err = procs.NewSite(ctx, stores, p.Bin, dir); err != nil {
		return err
	}
	if w.DB, err = openDatabase(w.Site.DSN); err != nil {
		return err
	}
	return w.startPrograms(ctx, live, p)
}

func (w *World) startPrograms(ctx, live context.Context, p Population) error {
	consumers, servers := w.side(ConsumerSide, p.Env), w.side(APISide, p.Env)
	for range p.Consumers {
		c, err := w.Site.StartConsumer(ctx, consumers...)
		if err != nil {
			return err
		}
		w.Consumers = append(w.Consumers, w.adopt(live, &Program{Kind: "consumer", Admin: c.Admin, process: c.Process}))
	}
	for range p.Servers {
		s, err := w.Site.StartAPIServer(ctx, servers...)
		if err != nil {
			return err
		}
		w.Servers = append(w.Servers, w.adopt(live, &Program{Kind: "api-server", URL: s.URL, Admin: s.Admin, process: s.Process}))
	}
	for _, job := range []string{"sweep", "retry-failed"} {
		b, err := w.Site.StartBatch(ctx, []string{job, "--every", "1s"}, consumers...)
		if err != nil {
			return err
		}
		w.Jobs = append(w.Jobs, w.adopt(live, &Program{Kind: job, process: b}))
	}
	return nil
}

// side is the environment of a side's programs. Users who double click are what the crowd is made of.
func (w *World) side(side Side, more []string) []string {
	return slices.Concat(w.environment(side), []string{"LOG_LEVEL=info"}, more)
}

func (w *World) adopt(live context.Context, p *Program) *Program {
	p.up = true
	s := w.settlement
	s.watch.Go(func() {
		p.supervise(live, func(d Death) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.deaths = append(s.deaths, d)
		})
	})
	return p
}

// Deaths returns how the lives that have ended since the last call did.
func (w *World) Deaths() []Death {
	w.mu.Lock()
	defer w.mu.Unlock()
	deaths := w.deaths
	w.deaths = nil
	return deaths
}

// StoreKills returns how many SIGKILLs the stores have had.
func (w *World) StoreKills() map[string]int {
	return map[string]int{"redis": w.Redis.Kills, "kafka": w.Kafka.Kills, "mysql": w.MySQL.Kills}
}

// Job returns the batch job of that name.
func (w *World) Job(name string) *Program {
	return w.Jobs[slices.IndexFunc(w.Jobs, func(p *Program) bool { return p.Kind == name })]
}

// Clear ends the programs and removes their database.
func (w *World) Clear() error {
	if w.stop == nil {
		return nil
	}
	w.stop() // nobody is started again
	w.watch.Wait()
	var failed error
	if w.DB != nil {
		failed = w.DB.Close()
	}
	if w.Site != nil {
		for _, p := range w.Programs() {
			if p.process.Ending() == nil {
				_ = p.process.Kill() // whether they stop in order is shown elsewhere
			}
		}
		failed = errors.Join(failed, w.Site.Close())
	}
	w.settlement = &settlement{}
	return failed
}
