package simulation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/outbox"
	"github.com/seonchak/seonchak/pkg/simulated"
)

// program is one life of a program: its loops, and its lines to the stores.
type program struct {
	name                string
	redis, kafka, mysql *simulated.Line
	stop                context.CancelFunc
	once                sync.Once
	dead                chan struct{} // closed when it has crashed
}

// newProgram begins a life, and the context that ends with it.
func (w *world) newProgram(kind string) (*program, context.Context) {
	ctx, stop := context.WithCancel(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	name := fmt.Sprintf("%s %d", kind, len(w.programs)+1)
	p := &program{
		name: name, stop: stop, dead: make(chan struct{}),
		redis: w.network.Line(name + " redis"), kafka: w.network.Line(name + " kafka"), mysql: w.network.Line(name + " mysql"),
	}
	w.programs = append(w.programs, p)
	return p, ctx
}

// crash ends the program as SIGKILL does: what it sent may still arrive, nothing comes back.
func (p *program) crash() {
	p.once.Do(func() {
		for _, l := range []*simulated.Line{p.redis, p.kafka, p.mysql} {
			l.Cut()
		}
		close(p.dead)
		p.stop()
	})
}

func (p *program) down() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// stores are the three as one program reaches them, and with the mistake that may be planted.
func (w *world) stores(p *program) (*stock, *log, *record) {
	return &stock{Stock: w.stock.Via(p.redis), planted: w.planted},
		&log{Log: w.log.Via(p.kafka), planted: w.planted},
		&record{Record: w.record.Via(p.mysql), planted: w.planted, view: map[string]coupon.Standing{}}
}

// server is one life of an api-server.
type server struct {
	*program
	service *apply.Service
	record  *record
	numbers *prometheus.Registry
}

func (w *world) startServer() *server {
	p, ctx := w.newProgram("api-server")
	stock, log, record := w.stores(p)
	logger := w.logger.With("program", p.name)
	numbers := prometheus.NewRegistry()
	metrics := apply.NewMetrics(numbers)
	view := apply.NewView(record, logger)
	_ = await(ctx, time.Second, func() bool { return view.Refresh(ctx) == nil })
	keeper := apply.NewKeeper(view, stock, record, outbox.New(stock, log), metrics, logger)
	go view.Run(ctx)
	go keeper.Run(ctx)
	service := apply.NewService(view, stock, log, record, apply.Limits{Queue: 1000, Batch: 128}, metrics, logger)
	s := &server{program: p, service: service, record: record, numbers: numbers}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives = append(w.lives, s)
	return s
}

// fromMemory is how many applies the servers refused without asking Redis.
func (w *world) fromMemory() (refused int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.lives {
		families, _ := s.numbers.Gather() // what cannot be gathered is not counted
		for _, f := range families {
			if f.GetName() == "coupon_sold_out_from_memory_total" {
				refused += int(f.GetMetric()[0].GetCounter().GetValue())
			}
		}
	}
	return refused
}

// openCampaign opens the campaign as an operator does.
func (w *world) openCampaign(ctx context.Context) error {
	return fence.New(w.record, &stock{Stock: w.stock, planted: w.planted}).Open(ctx, campaign)
}

// startBatch starts what tries every live failed event again, every few seconds.
func (w *world) startBatch() {
	p, ctx := w.newProgram("batch")
	record, random := w.record.Via(p.mysql), w.random(1)
	go func() {
		for pass(ctx, between(random, time.Second, 10*time.Second)) == nil {
			w.retryFailed(ctx, record)
		}
	}()
}

func (w *world) retryFailed(ctx context.Context, record *simulated.Record) {
	_, _, failures, _ := w.record.Look(campaign)
	var deliveries []coupon.Delivery
	for _, f := range failures {
		if f.Status == coupon.FailurePending {
			deliveries = append(deliveries, coupon.Delivery{Claim: f.Claim, FailedID: f.ID})
		}
	}
	_, _ = record.Issue(ctx, campaign, deliveries) // tried again at the next look
}
