package world

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
)

// Rest bounds.
const (
	restWithin     = 90 * time.Second
	failuresWithin = 90 * time.Second // a killed run leaves leases of a minute behind
	settleWithin   = 60 * time.Second
	finalWaves     = 8
	wavePause      = 2 * time.Second // stock that came back is seen by every server after this long and a push
)

// Settle brings the drops to rest after everything was healed: what is on its way becomes rows without anybody's help,
// then everybody comes back, until nobody gets anything new. Unrest is what did not come to rest, or does not reconcile.
func (w *World) Settle(ctx context.Context, drops []*Drop) (unrest []string, err error) {
	note := func(err error) {
		if err != nil {
			unrest = append(unrest, err.Error())
		}
	}
	note(w.atRest(ctx, drops))
	note(w.reconcile(ctx))
	for _, d := range drops {
		note(w.comeBack(ctx, d))
	}
	note(w.atRest(ctx, drops))
	note(w.failuresGone(ctx, drops))
	for _, d := range drops {
		if _, err := d.Return(ctx, sorted(d.Everybody())); err != nil { // replays, all of them
			return unrest, err
		}
	}
	note(w.atRest(ctx, drops))
	note(w.reconcile(ctx))
	return unrest, ctx.Err()
}

// atRest waits until all promised rows are there and the log is read to its end.
func (w *World) atRest(ctx context.Context, drops []*Drop) error {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	const quiet = 3 * time.Second
	for _, d := range drops {
		_, err := drop.WaitForRest(ctx, w.DB, d.ID, drop.Wait{Rows: d.Granted(), Backlog: w.Site.Backlog, Quiet: quiet})
		if err != nil {
			return err
		}
	}
	return nil
}

// comeBack lets everybody without a promise come back until a whole wave of them brings nothing new, or all is taken.
func (w *World) comeBack(ctx context.Context, d *Drop) error {
	bounded, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for wave := range finalWaves {
		if _, err := d.Return(bounded, sorted(d.Unserved())); err != nil {
			return fmt.Errorf("campaign %s: not everybody got an answer: %w", d.ID, err)
		}
		full, err := w.full(bounded, d.ID)
		if err != nil {
			return err
		}
		if len(d.Waiting()) == 0 && (full || len(d.Unserved()) == 0) {
			return nil
		}
		if wave < finalWaves-1 && Pause(bounded, wavePause) != nil {
			break
		}
	}
	if waiting := len(d.Waiting()); waiting > 0 {
		return fmt.Errorf("campaign %s: %d users were still told pending at the end", d.ID, waiting)
	}
	return nil // the verdict says whether stock was left
}

func (w *World) full(ctx context.Context, campaign string) (full bool, err error) {
	err = w.DB.QueryRowContext(ctx, `SELECT issued >= limit_count FROM campaigns WHERE slug = ?`, campaign).Scan(&full)
	return full, err
}

// failuresGone waits until batch has made rows of the failed events.
func (w *World) failuresGone(ctx context.Context, drops []*Drop) error {
	ctx, cancel := context.WithTimeout(ctx, failuresWithin)
	defer cancel()
	for _, d := range drops {
		err := Await(ctx, "no failed event of "+d.ID+" is live", func() bool {
			n, err := w.Failures(ctx, d.ID)
			return err == nil && n == 0
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Failures returns how many failed events of a campaign wait for a retry.
func (w *World) Failures(ctx context.Context, campaign string) (n int, err error) {
	err = w.DB.QueryRowContext(ctx, `SELECT COUNT(*) FROM failed_events WHERE status IN ('pending', 'leased', 'parked')
		AND campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`, campaign).Scan(&n)
	return n, err
}

func (w *World) reconcile(ctx context.Context) error {
	output, code, err := w.Site.Batch(ctx, "reconcile", "--wait", "30s")
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("batch reconcile: exit code %d: %s", code, differences(output))
	}
	return nil
}

// differences are the lines of a reconciliation that say what is wrong, or its last ones.
func differences(output string) string {
	const most = 6
	lines := strings.Split(strings.TrimSpace(output), "\n")
	wrong := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return !strings.Contains(line, ": different: ") && !strings.Contains(line, ": unknown: ")
	})
	if len(wrong) == 0 {
		wrong = lines[max(0, len(lines)-most):]
	}
	return strings.Join(wrong, "; ")
}

// sorted puts applies into an order that does not change from run to run.
func sorted(applies []drop.Apply) []drop.Apply {
	slices.SortFunc(applies, func(a, b drop.Apply) int {
		if c := strings.Compare(a.User, b.User); c != 0 {
			return c
		}
		return a.N - b.N
	})
	return applies
}

// Verdict compares what a drop's crowd was told with what the database holds.
func (w *World) Verdict(ctx context.Context, d *Drop) (drop.Verdict, error) {
	return drop.Judge(ctx, w.DB, d.ID, d.Journal.Answers())
}
