package simulation

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/simulated"
)

// fault does some harm to a world, and ends it before it returns; what it leaves behind is for the programs to repair.
// Several may be at work at once.
type fault struct {
	name string
	do   func(ctx context.Context, w *world, random *rand.Rand)
}

// faults is everything that may befall a drop. Those named more often happen more often.
func faults() []fault {
	return []fault{
		{"api-server killed", killServer},
		{"api-server killed", killServer},
		{"consumer killed", killConsumer},
		{"consumer killed", killConsumer},
		{"api-server cut off", cutOffServer},
		{"consumer cut off", cutOffConsumer},
		{"rebalance with the old owner at work", rebalance},
		{"batches become failed events", func(_ context.Context, w *world, random *rand.Rand) {
			w.consumers[random.IntN(consumers)].Load().park(3)
		}},
		{"redis restarted with its data", func(_ context.Context, w *world, _ *rand.Rand) { w.stock.Restart(false) }},
		{"redis restarted empty", func(_ context.Context, w *world, _ *rand.Rand) { w.stock.Restart(true) }},
		{"redis flushed", func(_ context.Context, w *world, _ *rand.Rand) { w.stock.Flush() }},
		{"redis lost a key", loseKey},
		{"stale replica promoted", promoteStale},
		{"redis away for a moment", away(300*time.Millisecond, 4*time.Second, redis)},
		{"redis away", away(5*time.Second, 12*time.Second, redis)},
		{"kafka away", away(300*time.Millisecond, 8*time.Second, kafka)},
		{"mysql away", away(300*time.Millisecond, 8*time.Second, mysql)},
		{"redis and kafka away", away(time.Second, 8*time.Second, redis, kafka)},
		{"limit raised", func(ctx context.Context, w *world, _ *rand.Rand) {
			_, _ = w.record.RaiseLimit(ctx, campaign, 2, "", "") // refused or not: the record knows
		}},
		{"limit lowered", func(ctx context.Context, w *world, _ *rand.Rand) {
			_, _ = w.record.BeginLowering(ctx, campaign, 1, "", "") // the keepers finish it
		}},
		{"coupon cancelled", cancelOne},
		{"paused and resumed", pauseAndResume},
		{"rebuild asked for", func(ctx context.Context, w *world, _ *rand.Rand) { _, _ = w.record.WantFence(ctx, campaign) }},
	}
}

// The stores that may be away.
const (
	redis = "redis"
	kafka = "kafka"
	mysql = "mysql"
)

func away(from, to time.Duration, stores ...string) func(ctx context.Context, w *world, random *rand.Rand) {
	return func(ctx context.Context, w *world, random *rand.Rand) {
		for _, store := range stores {
			w.suffer(store, 1)
		}
		_ = pass(ctx, between(random, from, to))
		for _, store := range stores {
			w.suffer(store, -1)
		}
	}
}

// suffer counts what keeps a store away: it is back when nothing does.
func (w *world) suffer(store string, change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outages[store] += change
	down := w.outages[store] > 0
	switch store {
	case redis:
		w.stock.Down(down)
	case kafka:
		w.log.Down(down)
	case mysql:
		w.record.Down(down)
	}
}

func killServer(_ context.Context, w *world, random *rand.Rand) {
	i := random.IntN(servers)
	w.servers[i].Load().crash()
	w.servers[i].Store(w.startServer())
}

func killConsumer(_ context.Context, w *world, random *rand.Rand) {
	i := random.IntN(consumers)
	w.consumers[i].Load().crash()
	w.consumers[i].Store(w.startConsumer(share(i)))
}

func cutOffServer(ctx context.Context, w *world, random *rand.Rand) {
	cutOff(ctx, w.servers[random.IntN(servers)].Load().program, random)
}

func cutOffConsumer(ctx context.Context, w *world, random *rand.Rand) {
	cutOff(ctx, w.consumers[random.IntN(consumers)].Load().program, random)
}

// cutOff takes one of the lines of a program for a while.
func cutOff(ctx context.Context, p *program, random *rand.Rand) {
	line := []*simulated.Line{p.redis, p.kafka, p.mysql}[random.IntN(3)]
	line.Down(true)
	_ = pass(ctx, between(random, 300*time.Millisecond, 12*time.Second))
	line.Down(false)
}

// rebalance gives all partitions to a third consumer while the two others do not know yet.
func rebalance(ctx context.Context, w *world, random *rand.Rand) {
	third := w.startConsumer(func(int) bool { return true })
	_ = pass(ctx, between(random, 200*time.Millisecond, 3*time.Second))
	third.crash()
}

func cancelOne(ctx context.Context, w *world, random *rand.Rand) {
	_, rows, _, _ := w.record.Look(campaign)
	if len(rows) > 0 {
		_, _, _ = w.record.Cancel(ctx, rows[random.IntN(len(rows))].Key, "")
	}
}

func pauseAndResume(ctx context.Context, w *world, random *rand.Rand) {
	_, _ = w.record.SetStatus(ctx, campaign, coupon.CampaignPaused)
	_ = pass(ctx, between(random, 100*time.Millisecond, 2*time.Second))
	_ = await(ctx, 200*time.Millisecond, func() bool {
		_, err := w.record.SetStatus(ctx, campaign, coupon.CampaignActive)
		return err == nil
	})
}

// loseKey deletes one key of the epoch. Of pending nobody can tell that it is gone, only that its claims are not swept:
// none of them was promised.
func loseKey(_ context.Context, w *world, random *rand.Rand) {
	c, _, _, _ := w.record.Look(campaign)
	keys := []simulated.StockKey{
		simulated.KeyMeta, simulated.KeyUsers, simulated.KeyCount, simulated.KeySerials, simulated.KeyPending,
	}
	w.stock.DeleteKey(c.Ref(), keys[random.IntN(len(keys))])
}

// promoteStale puts a replica in the place of the master that has not heard from it for a while.
func promoteStale(ctx context.Context, w *world, random *rand.Rand) {
	replica := w.stock.Clone()
	_ = pass(ctx, between(random, 100*time.Millisecond, 3*time.Second))
	w.stock.FailOver(replica)
}
