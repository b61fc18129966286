package witness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/tools/drop"
)

// Campaigns returns the ids of the campaigns.
func (w *Witness) Campaigns() []string { return w.campaigns }

// Judge waits until the campaigns are at rest, compares their rows with what was told, and returns a verdict for each.
// backlog is how many records the consumers have not finished; where it is not known (nil), a campaign that got no row for
// some seconds is at rest. Where somebody's outcome is not known all are, once there was neither a backlog nor a row of the
// first for some seconds: nobody publishes again after that.
func (w *Witness) Judge(ctx context.Context, db *sql.DB, backlog func(context.Context) (int64, error)) ([]drop.Verdict, error) {
	verdicts := make([]drop.Verdict, len(w.campaigns))
	for i := range w.campaigns {
		settled := i > 0 || !w.unsettled.Load()
		err := w.awaitRest(ctx, db, i, settled, backlog)
		if err == nil {
			verdicts[i], err = w.verdict(ctx, db, i)
		}
		if err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

func (w *Witness) verdict(ctx context.Context, db *sql.DB, campaign int) (drop.Verdict, error) {
	answers, err := w.answers(ctx, db, campaign)
	if err != nil {
		return drop.Verdict{}, fmt.Errorf("read campaign %s: %w", w.campaigns[campaign], err)
	}
	return drop.Judge(ctx, db, w.campaigns[campaign], answers)
}

func (w *Witness) awaitRest(ctx context.Context, db *sql.DB, campaign int, settled bool, backlog func(context.Context) (int64, error)) error {
	wait := drop.Wait{Rows: math.MaxInt64, Backlog: backlog}
	if backlog != nil && settled {
		wait.Rows = w.promises(campaign)
	}
	_, err := drop.WaitForRest(ctx, db, w.campaigns[campaign], wait)
	return err
}

// answers returns a history that is as good as the whole one: all promises and contradictions, one try for whoever has a
// row and did apply, and of those who were told that all are gone as many as there are places.
func (w *Witness) answers(ctx context.Context, db *sql.DB, campaign int) ([]drop.Answer, error) {
	answers := w.kept(campaign)
	rows, err := w.rowsOfUsers(ctx, db, campaign)
	if err != nil {
		return nil, err
	}
	answers = append(answers, rows...)
	var limit int
	if err := db.QueryRowContext(ctx, `SELECT limit_count FROM campaigns WHERE slug = ?`, w.campaigns[campaign]).Scan(&limit); err != nil {
		return nil, err
	}
	return append(answers, w.refused(campaign, limit)...), nil
}

func (w *Witness) kept(campaign int) (answers []drop.Answer) {
	for i := range w.lanes {
		l := &w.lanes[i]
		l.mu.Lock()
		for user, p := range l.promises {
			if w.plan.CampaignOf(user) == campaign {
				answers = append(answers, w.promised(user, p)...)
			}
		}
		for _, odd := range l.odd {
			if w.plan.CampaignOf(odd.User) == campaign {
				answers = append(answers, odd.Answer)
			}
		}
		l.mu.Unlock()
	}
	return answers
}

// promised returns the answer that made a promise. A promise that was told as a repeat was made to an earlier apply, whose
// answer said less; nobody knows when, so it is taken for the oldest of all.
func (w *Witness) promised(user uint64, p Promise) []drop.Answer {
	answer := drop.Answer{
		User: w.users.Name(user), N: 1, HTTP: 202, Status: coupon.StatusAccepted, Serial: p.Serial,
		Sent: time.Unix(0, p.Sent), Received: time.Unix(0, p.Received),
	}
	if p.Issued {
		answer.Status = coupon.StatusIssued
	}
	if p.First {
		return []drop.Answer{answer}
	}
	answer.HTTP, answer.Replayed = 200, true
	return []drop.Answer{tried(answer.User), answer}
}

// tried is an apply without an answer, before all others.
func tried(user string) drop.Answer {
	return drop.Answer{User: user, N: 1, Unknown: "not kept", Sent: time.Unix(0, 0), Received: time.Unix(0, 0)}
}

// rowsOfUsers returns a try for each row of somebody who applied and holds no promise: the answer may not have come.
func (w *Witness) rowsOfUsers(ctx context.Context, db *sql.DB, campaign int) (answers []drop.Answer, err error) {
	rows, err := db.QueryContext(ctx, `SELECT user_id FROM coupons WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`,
		w.campaigns[campaign])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if user, ok := w.users.Number(name); ok && w.plan.Has(user, campaign) && w.asked.has(user) && !w.holds(user) {
			answers = append(answers, tried(name))
		}
	}
	return answers, rows.Err()
}

func (w *Witness) holds(user uint64) bool {
	l := &w.lanes[user%lanes]
	l.mu.Lock()
	defer l.mu.Unlock()
	_, holds := l.promises[user]
	return holds
}

func (w *Witness) refused(campaign, most int) (answers []drop.Answer) {
	for user := uint64(0); user < w.plan.Users && len(answers) < most; user++ {
		if w.soldOut.has(user) && w.plan.CampaignOf(user) == campaign && !w.holds(user) {
			answers = append(answers, drop.Answer{
				User: w.users.Name(user), N: 1, HTTP: 409, Code: coupon.CodeSoldOut,
				Sent: time.Unix(0, 0), Received: time.Unix(0, 0),
			})
		}
	}
	return answers
}
