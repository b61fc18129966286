package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/fence"
	"github.com/seonchak/seonchak/pkg/outbox"
)

// TestACrowdAtASoldOutCampaign has a dense crowd apply to a campaign that is nearly always sold out, while its limit moves,
// coupons come back, it is paused and rebuilt, and at last closed. Nobody who holds a claim is told sold_out, and nobody is
// while a place is free. Unlike a drop it runs on all cores: with the race detector it looks for those, too.
func TestACrowdAtASoldOutCampaign(t *testing.T) {
	cores := runtime.GOMAXPROCS(runtime.NumCPU())
	defer runtime.GOMAXPROCS(cores)
	crowded(t, func(ctx context.Context, t *testing.T, w *world, leave func()) []string {
		w.operate(ctx, w.random(2))
		found := w.settled(ctx)
		closed := w.shut(ctx)
		_ = pass(ctx, 3*time.Second)
		leave()
		answers, fromMemory := len(w.journal.answers), w.fromMemory()
		t.Logf("%d answers, %d of them from memory", answers, fromMemory)
		require.Greater(t, fromMemory, answers/5)
		return append(found, w.journal.soldOutAfter(closed.Add(answerAge))...)
	})
}

// TestACrowdOnTheWayIntoModeSQL ends epochs of a sold-out campaign whose Redis still answers, as when only the warden is cut
// off from it, with a place come back a moment before. Who gets that in mode sql must not hear sold_out from a server that
// has not noticed.
func TestACrowdOnTheWayIntoModeSQL(t *testing.T) {
	crowded(t, func(ctx context.Context, _ *testing.T, w *world, _ func()) []string {
		w.leaveRedis(ctx, w.random(2))
		return w.settled(ctx)
	})
}

// crowded lets something happen to worlds in which everybody asks again and again until leave, and requires that it returns
// nothing wrong.
func crowded(t *testing.T, happen func(ctx context.Context, t *testing.T, w *world, leave func()) (wrong []string)) {
	t.Helper()
	for _, seed := range chosen(4, 1) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(seed, none, nil)
			defer w.end()
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
			defer stop()
			require.NoError(t, w.begin(ctx))
			leave := w.press(ctx)
			defer leave()
			wrong := happen(ctx, t, w, leave)
			require.Empty(t, wrong, "seed %d:\n%s", seed, strings.Join(wrong, "\n"))
		})
	}
}

// leaveRedis cancels a coupon and ends the epoch in favour of one in mode sql, again and again; the wardens bring the campaign
// back in between.
func (w *world) leaveRedis(ctx context.Context, random *rand.Rand) {
	p, _ := w.newProgram("operator")
	stock, log, record := w.stores(p)
	repair := fence.NewFence(record, stock, log, outbox.New(stock, log), fence.Options{Now: time.Now, Loaded: func(int) {}})
	for range 12 {
		_ = pass(ctx, between(random, time.Second, 4*time.Second))
		_ = w.rest(ctx)
		_ = pass(ctx, between(random, 0, time.Second))
		cancelOne(ctx, w, random)
		c, _, _, _ := w.record.Look(campaign)
		_ = repair.Rebuild(ctx, []coupon.Campaign{c}, coupon.ModeSQL) // what it leaves the wardens end
	}
}

const answerAge = 500 * time.Millisecond // for how long Redis' last word is said again

// press has everybody ask again and again, until they leave.
func (w *world) press(ctx context.Context) (leave func()) {
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	for i := range people {
		random := w.random(1000 + uint64(i))
		key := coupon.Key{Campaign: campaign, User: fmt.Sprintf("u%02d", i), N: 1}
		all.Go(func() {
			for pass(ctx, between(random, 5*time.Millisecond, 80*time.Millisecond)) == nil {
				crowd{world: w}.ask(ctx, key, random.IntN(servers))
			}
		})
	}
	return func() {
		stop()
		all.Wait()
	}
}

// settled returns what is wrong once whoever wanted what was left has got it.
func (w *world) settled(ctx context.Context) []string {
	restless := w.rest(ctx)
	_ = pass(ctx, 3*time.Second)
	return w.untruths(errors.Join(restless, w.rest(ctx)), time.Now())
}

// operate does what operators do, one thing after the other.
func (w *world) operate(ctx context.Context, random *rand.Rand) {
	for range 12 {
		_ = pass(ctx, between(random, time.Second, 4*time.Second))
		switch random.IntN(5) {
		case 0:
			_, _ = w.record.RaiseLimit(ctx, campaign, 1, "", "")
		case 1:
			_, _ = w.record.BeginLowering(ctx, campaign, 1, "", "")
		case 2:
			cancelOne(ctx, w, random)
		case 3:
			_, _ = w.record.WantFence(ctx, campaign)
		default:
			pauseAndResume(ctx, w, random)
		}
	}
}

// shut closes the campaign, and returns when Redis knows.
func (w *world) shut(ctx context.Context) time.Time {
	_ = await(ctx, 100*time.Millisecond, func() bool {
		_, err := w.record.SetStatus(ctx, campaign, coupon.CampaignClosed)
		return err == nil
	})
	_ = await(ctx, 5*time.Millisecond, func() bool {
		c, _, _, _ := w.record.Look(campaign)
		levels, err := w.stock.Levels(ctx, []*coupon.Campaign{&c})
		return err == nil && levels[0].Version >= c.Version
	})
	return time.Now()
}

// soldOutAfter returns who called after an instant and was told sold_out.
func (j *journal) soldOutAfter(at time.Time) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.answers {
		if a.refusal == coupon.CodeSoldOut && a.called.After(at) {
			found = append(found, fmt.Sprintf("%s was told sold_out %v late", a.key.User, a.called.Sub(at)))
		}
	}
	return found
}
