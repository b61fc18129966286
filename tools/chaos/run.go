package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/tools/chaos/faults"
	"github.com/seonchak/seonchak/tools/chaos/world"
)

// How a drop goes: it starts, after lead the fault comes, and when that is over there is stock left for after more.
const (
	lead  = 1500 * time.Millisecond
	after = 4 * time.Second

	smallLimit = 60
	smallRate  = 100
	runBound   = 10 * time.Minute
)

// runner makes runs, one at a time.
type runner struct {
	world   *world.World
	workers int
	rate    float64 // applies a second
	show    func(phase string)
}

// run is one drop with one fault, and the verdict.
func (r *runner) run(ctx context.Context, class faults.Class, seed uint64) Record {
	ctx, cancel := context.WithTimeout(ctx, runBound)
	defer cancel()
	began := time.Now()
	record := Record{At: began.UTC(), Class: class.Name, Seed: seed, Window: !class.Kills, Kills: map[string]int{}, Told: map[string]int64{}, Grant: -1}
	r.world.Random = rand.New(rand.NewPCG(seed, 2))
	if err := r.play(ctx, class, seed, &record); err != nil {
		record.Stopped = err.Error()
	}
	record.Took = time.Since(began).Seconds()
	return record
}

func (r *runner) play(ctx context.Context, class faults.Class, seed uint64, record *Record) (err error) {
	r.show("opening")
	if class.Prepare != nil {
		if err := class.Prepare(ctx, r.world); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	scene, err := r.scene(ctx, class, seed)
	if err != nil {
		return err
	}
	drops := []*world.Drop{scene.Main, scene.Small}
	defer func() {
		for _, d := range drops {
			_ = d.Close() // what counts is on the disk
		}
	}()
	kills := r.world.StoreKills()
	r.world.Deaths() // of before
	r.show("drop")
	broke, healed, err := r.drops(ctx, class, scene)
	if err != nil {
		return err
	}
	r.show("rest")
	record.Unrest, err = r.world.Settle(ctx, drops)
	if err != nil {
		return err
	}
	record.Rest = time.Since(healed).Seconds()
	r.account(record, kills)
	recovery(record, scene, broke, healed)
	r.show("verdict")
	if err := r.judge(ctx, record, drops); err != nil {
		return err
	}
	return r.restore(ctx, class, drops)
}

// scene opens the campaigns: one that goes on through the fault, and a small one that is sold out by then.
func (r *runner) scene(ctx context.Context, class faults.Class, seed uint64) (*faults.Scene, error) {
	const demand = 1.5 // users a place
	name := fmt.Sprintf("chaos-%d-%x", time.Now().UnixMilli(), seed&0xffff)
	limit := int(r.rate / 1.4 * (lead + class.Lasts + after).Seconds())
	main, err := r.world.OpenDrop(ctx, world.Wish{
		ID: name, Limit: limit, Users: int(demand * float64(limit)), Workers: r.workers, Rate: r.rate, Restock: class.Restock, Seed: seed,
	})
	if err != nil {
		return nil, err
	}
	small, err := r.world.OpenDrop(ctx, world.Wish{
		ID: name + "-small", Limit: smallLimit, Users: 2 * smallLimit, Workers: 4, Rate: smallRate, Restock: class.Restock, Seed: seed + 1,
	})
	return &faults.Scene{World: r.world, Main: main, Small: small}, err
}

// drops lets the crowds apply, and the fault come, and returns when that was and when everything was healed.
func (r *runner) drops(ctx context.Context, class faults.Class, scene *faults.Scene) (broke, healed time.Time, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return scene.Main.Run(ctx) })
	group.Go(func() error { return scene.Small.Run(ctx) })
	group.Go(func() error {
		defer scene.Small.End()
		defer scene.Main.End()
		if err := world.Pause(ctx, lead); err != nil {
			return err
		}
		r.show("fault")
		broke = time.Now()
		failed := class.Fault(ctx, scene)
		r.show("heal")
		if err := r.world.Heal(ctx); err != nil {
			return fmt.Errorf("heal: %w", err)
		}
		healed = time.Now()
		if failed != nil {
			return fmt.Errorf("fault: %w", failed)
		}
		return world.Pause(ctx, after)
	})
	err = group.Wait()
	return broke, healed, err
}

// recovery notes how long it took until grants went on, and what was told from the fault until then.
func recovery(record *Record, scene *faults.Scene, broke, healed time.Time) {
	over := healed
	if first := scene.Main.FirstGrantAfter(healed); !first.IsZero() {
		record.Grant, over = first.Sub(healed).Seconds(), first
	}
	for _, d := range []*world.Drop{scene.Main, scene.Small} {
		record.told(d.Journal.Answers(), broke, over)
	}
}

// account notes who died.
func (r *runner) account(record *Record, before map[string]int) {
	for _, d := range r.world.Deaths() {
		name := d.Program
		if d.Point != "" {
			name = string(d.Point)
		}
		if d.Killed {
			record.Kills[name]++
		}
	}
	for store, n := range r.world.StoreKills() {
		if n > before[store] {
			record.Kills[store] += n - before[store]
		}
	}
	for _, p := range r.world.Programs() {
		if p.Panicked() {
			record.Unrest = append(record.Unrest, p.Kind+" panicked")
		}
	}
}

// judge compares what everybody was told with what there is.
func (r *runner) judge(ctx context.Context, record *Record, drops []*world.Drop) error {
	if len(record.Unrest) > 0 {
		record.Layers = append(record.Layers, layerOf(record.Unrest)...)
	}
	for _, d := range drops {
		verdict, err := r.world.Verdict(ctx, d)
		if err != nil {
			return err
		}
		record.add(verdict)
		record.Acked += d.Granted()
	}
	return nil
}

func layerOf(unrest []string) (layers []string) {
	for _, u := range unrest {
		layer := "rest"
		if strings.Contains(u, "reconcile") {
			layer = "reconcile"
		}
		layers = append(layers, layer)
	}
	return layers
}

// restore closes the campaigns, so that nobody looks after them any more, and puts the world back.
func (r *runner) restore(ctx context.Context, class faults.Class, drops []*world.Drop) error {
	for _, d := range drops {
		if _, _, err := r.world.Operate(ctx, "POST", "/campaigns/"+d.ID+"/close", nil); err != nil {
			return err
		}
	}
	if class.Restore == nil {
		return nil
	}
	return class.Restore(ctx, r.world)
}
