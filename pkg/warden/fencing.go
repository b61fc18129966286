package warden

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	width = 8                // campaigns opened, or brought back to Redis, at the same time
	long  = 10 * time.Second // after which a job says that it is still at work
)

// job is what a round found to do.
type job struct{ decided []decided }

type decided struct {
	decision
	campaign coupon.Campaign
}

func (j *job) add(c *coupon.Campaign, d decision) {
	if d.step != nothing {
		j.decided = append(j.decided, decided{d, *c})
	}
}

// with returns the campaigns that need this step and mode.
func (j *job) with(s step, mode coupon.Mode) (campaigns []coupon.Campaign) {
	for _, d := range j.decided {
		if d.step == s && d.mode == mode {
			campaigns = append(campaigns, d.campaign)
		}
	}
	return campaigns
}

// thin leaves campaigns that are served in mode sql for a later job: those that nobody can apply to go first, and the others
// lose their service for a moment only a few at a time.
func (j *job) thin() {
	room := width
	for _, d := range j.decided {
		if d.step == rebuild && !d.returns {
			room--
		}
	}
	j.decided = slices.DeleteFunc(j.decided, func(d decided) bool {
		if !d.returns {
			return false
		}
		room--
		return room < 0
	})
}

// drains reports whether the log must be drained for it: not for opening, nor for taking over a loading, whose log is.
func (d decided) drains() bool {
	return d.step == rebuild && d.campaign.EpochState != coupon.EpochLoading
}

// fencing is a job at work.
type fencing struct {
	job    job
	began  time.Time
	cancel context.CancelFunc
	ended  chan struct{} // closed at the end
	err    error         // what became of it, once it has ended
}

// stop ends the job and waits until it has ended. There may be none.
func (f *fencing) stop() {
	if f == nil {
		return
	}
	f.cancel()
	<-f.ended
}

// busy reports whether a job is at work, has ended since the campaigns were read, or failed a moment ago.
func (w *Warden) busy(now time.Time) bool {
	if w.fencing == nil {
		return now.Before(w.resting)
	}
	select {
	case <-w.fencing.ended:
		w.fencing.cancel()
		if w.fencing.err != nil {
			w.resting = now.Add(rest)
		}
		w.fencing = nil
	default:
		w.tend(w.fencing, now)
	}
	return true
}

// tend tells of a job that takes long, and ends one that has lost the Redis it works for: its campaigns go to mode sql.
func (w *Warden) tend(f *fencing, now time.Time) {
	if now.Sub(f.began) >= long {
		w.slow.Do(func() {
			w.Logger.Warn("a fence takes long", "campaigns", len(f.job.decided), "took", now.Sub(f.began).String(),
				"stands", w.Fence.Stands())
		})
	}
	if w.lostRedis(f.job.with(rebuild, coupon.ModeRedis), now) {
		f.cancel()
	}
}

// lostRedis reports whether Redis is away for all of the campaigns, if there are any, and for long enough.
func (w *Warden) lostRedis(campaigns []coupon.Campaign, now time.Time) bool {
	for _, c := range campaigns {
		if m := w.memory[c.ID]; m != nil && !m.silent(now) {
			return false
		}
	}
	return len(campaigns) > 0
}

// begin starts the job in its own goroutine: a long drain must not keep the warden from watching. A fence is not begun
// while the log is away: it could not end, and nothing could be granted meanwhile.
func (w *Warden) begin(ctx context.Context, j job, now time.Time) {
	if slices.ContainsFunc(j.decided, decided.drains) {
		if err := w.ping(ctx); err != nil {
			w.trouble.Do(func() { w.Logger.Warn("a fence is needed and the log is away", "error", err) })
			j.decided = slices.DeleteFunc(j.decided, decided.drains)
		}
	}
	if len(j.decided) == 0 {
		return
	}
	w.announce(ctx, j)
	for _, d := range j.decided {
		w.memory[d.campaign.ID].took(&d.campaign, d.decision, now)
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &fencing{job: j, began: now, cancel: cancel, ended: make(chan struct{})}
	w.fencing = f
	go func() {
		defer close(f.ended)
		f.err = w.work(ctx, j)
	}()
}

func (w *Warden) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recordBound)
	defer cancel()
	return w.Log.Ping(ctx)
}

// announce logs every decision that is acted on.
func (w *Warden) announce(ctx context.Context, j job) {
	for _, d := range j.decided {
		level := slog.LevelInfo
		if d.lost {
			level = slog.LevelWarn
			w.Metrics.breaks.Inc()
		}
		w.Logger.Log(ctx, level, "decided", "campaign", d.campaign.ID, "epoch", d.campaign.Epoch,
			"state", d.campaign.EpochState, "status", d.campaign.Status, "step", d.step.String(), "mode", d.mode, "why", d.why)
	}
}

// work does the job, all parts of it at once: none should wait for the drain, the Redis or the loads of another. It returns
// an error if any failed.
func (w *Warden) work(ctx context.Context, j job) error {
	var parts errgroup.Group
	parts.Go(func() error { return w.open(ctx, j.with(open, coupon.ModeRedis)) })
	for _, mode := range []coupon.Mode{coupon.ModeSQL, coupon.ModeRedis} {
		parts.Go(func() error { return w.rebuild(ctx, j.with(rebuild, mode), mode) })
	}
	return parts.Wait()
}

func (w *Warden) open(ctx context.Context, campaigns []coupon.Campaign) error {
	var opens errgroup.Group
	opens.SetLimit(width)
	for _, c := range campaigns {
		opens.Go(func() error {
			err := w.Fence.Open(ctx, c)
			if err != nil {
				w.Logger.Warn("epoch not opened", "campaign", c.ID, "epoch", c.Epoch, "error", err)
			}
			return err
		})
	}
	return opens.Wait()
}

func (w *Warden) rebuild(ctx context.Context, campaigns []coupon.Campaign, mode coupon.Mode) error {
	if len(campaigns) == 0 {
		return nil
	}
	began := w.Now()
	err := w.Fence.Rebuild(ctx, campaigns, mode)
	took := w.Now().Sub(began)
	if err != nil {
		w.Logger.Warn("fence not finished", "campaigns", len(campaigns), "mode", mode, "took", took.String(), "error", err)
		return err
	}
	w.Metrics.fences.Observe(took.Seconds())
	w.Logger.Info("fence finished", "campaigns", len(campaigns), "mode", mode, "took", took.String())
	return nil
}
