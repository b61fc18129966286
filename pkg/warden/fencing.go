package warden

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
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

// drains reports whether the log must be drained for it: not for opening, nor for taking over a loading, whose log is.
func (d decided) drains() bool {
	return d.step == rebuild && d.campaign.EpochState != coupon.EpochLoading
}

// fencing is a job at work.
type fencing struct {
	cancel context.CancelFunc
	ended  chan error // with what became of it
}

// stop ends the job and waits until it has ended. There may be none.
func (f *fencing) stop() {
	if f == nil {
		return
	}
	f.cancel()
	_ = <-f.ended // whoever leads next goes on with it, however it ended
}

// busy reports whether a job is at work, has ended since the campaigns were read, or failed a moment ago.
func (w *Warden) busy(now time.Time) bool {
	if w.fencing == nil {
		return now.Before(w.resting)
	}
	select {
	case err := <-w.fencing.ended:
		w.fencing.cancel()
		w.fencing = nil
		if err != nil {
			w.resting = now.Add(rest)
		}
	default:
	}
	return true
}

// begin starts the job in its own goroutine: a long drain must not keep the warden from watching. A fence is not begun
// while the log is away: it could not end, and nothing could be granted meanwhile.
func (w *Warden) begin(ctx context.Context, j job) {
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
	ctx, cancel := context.WithCancel(ctx)
	f := &fencing{cancel: cancel, ended: make(chan error, 1)}
	w.fencing = f
	go func() { f.ended <- w.work(ctx, j) }()
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

// work does the job: into mode sql first, where nobody is served until it is done. It returns the first error.
func (w *Warden) work(ctx context.Context, j job) (failure error) {
	for _, c := range j.with(open, coupon.ModeRedis) {
		if err := w.Fence.Open(ctx, c); err != nil {
			w.Logger.Warn("epoch not opened", "campaign", c.ID, "epoch", c.Epoch, "error", err)
			failure = err
		}
	}
	for _, mode := range []coupon.Mode{coupon.ModeSQL, coupon.ModeRedis} {
		if err := w.rebuild(ctx, j.with(rebuild, mode), mode); err != nil {
			failure = err
		}
	}
	return failure
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
