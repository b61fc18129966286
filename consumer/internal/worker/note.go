package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// note counts what became of a delivery at that time, and logs it when it is a failed event.
func (w *Worker) note(d coupon.Delivery, r coupon.Result, at time.Time) {
	w.metrics.count(d.Claim, r.Outcome, r.Reason, at)
	switch r.Outcome {
	case coupon.OutcomeDead:
		w.report(d.Position, d.Claim, r.Outcome, r.Reason, r.Err)
	case coupon.OutcomeFailed, coupon.OutcomeParked:
		w.report(d.Claim.EventKey(), d.Claim, r.Outcome, r.Reason, r.Err)
	}
}

// noteFailed counts and logs a failed event that this worker wrote itself.
func (w *Worker) noteFailed(f coupon.FailedEvent) {
	outcome := coupon.OutcomeFailed
	if f.Status == coupon.FailureDead {
		outcome = coupon.OutcomeDead
	}
	w.metrics.count(f.Claim, outcome, f.Reason, w.config.Now())
	w.report(f.EventKey, f.Claim, outcome, f.Reason, f.Error)
}

// report is the one log line of a failed event: an operator is needed for a parked one only.
func (w *Worker) report(key string, c coupon.Claim, outcome coupon.Outcome, reason coupon.FailureReason, cause string) {
	level := slog.LevelWarn
	if outcome == coupon.OutcomeParked {
		level = slog.LevelError
	}
	w.logger.LogAttrs(context.Background(), level, "failed event",
		slog.String("event_key", key),
		slog.String("outcome", outcome.String()),
		slog.String("reason", string(reason)),
		slog.String("error", cause),
		slog.String("campaign", c.Campaign),
		slog.String("user", c.User),
		slog.Int("n", c.N),
		slog.Int64("epoch", c.Epoch),
		slog.Int64("serial", c.Serial),
	)
}
