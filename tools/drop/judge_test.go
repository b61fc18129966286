package drop

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// scene is a campaign of 5 at rest, for which u-1 to u-8 applied: u-1 to u-5 hold the serials of their numbers.
type scene struct {
	t        *testing.T
	db       *sql.DB
	campaign string
	id       int64
	start    time.Time
	answers  []Answer
}

func database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := Open(testenv.MySQL(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func newScene(t *testing.T, db *sql.DB) *scene {
	t.Helper()
	s := &scene{t: t, db: db, campaign: testenv.Campaign(), start: time.Now()}
	s.exec(`INSERT INTO campaigns (slug, name, limit_count, issued, status, epoch, epoch_state, starts_at, ends_at, created_at, updated_at)
		VALUES (?, 'Test', 5, 5, 'active', 1, 'active', '2026-01-01', '2036-01-01', '2026-01-01', '2026-01-01')`, s.campaign)
	require.NoError(t, db.QueryRow(`SELECT id FROM campaigns WHERE slug = ?`, s.campaign).Scan(&s.id))
	for i := 1; i <= 5; i++ {
		s.row(int64(i), fmt.Sprintf("u-%d", i), 1)
		s.promise(fmt.Sprintf("u-%d", i), int64(i))
	}
	s.answer(Answer{User: "u-1", HTTP: 200, Status: coupon.StatusIssued, Serial: 1, Replayed: true})
	s.answer(Answer{User: "u-2", Unknown: "connection reset"})
	for i := 6; i <= 8; i++ {
		s.answer(Answer{User: fmt.Sprintf("u-%d", i), HTTP: 409, Code: coupon.CodeSoldOut})
	}
	return s
}

func (s *scene) exec(statement string, args ...any) {
	s.t.Helper()
	result, err := s.db.Exec(statement, args...)
	require.NoError(s.t, err)
	changed, err := result.RowsAffected()
	require.NoError(s.t, err)
	require.EqualValues(s.t, 1, changed, statement)
}

func (s *scene) row(serial int64, user string, n int) {
	s.t.Helper()
	s.exec(`INSERT INTO coupons (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at) VALUES (?, ?, ?, ?, 1, '', ?, ?)`,
		s.id, serial, user, n, s.start.UTC(), s.start.UTC())
}

// answer adds an answer that was sent and received after all before it.
func (s *scene) answer(a Answer) {
	a.N = max(1, a.N)
	a.Sent = s.start.Add(time.Duration(2*len(s.answers)) * time.Second)
	a.Received = a.Sent.Add(time.Second)
	s.answers = append(s.answers, a)
}

func (s *scene) promise(user string, serial int64) {
	s.answer(Answer{User: user, HTTP: 202, Status: coupon.StatusAccepted, Serial: serial})
}

func (s *scene) judge() Verdict {
	s.t.Helper()
	v, err := Judge(context.Background(), s.db, s.campaign, s.answers)
	require.NoError(s.t, err)
	return v
}

func TestNothingIsWrong(t *testing.T) {
	t.Parallel()
	v := newScene(t, database(t)).judge()
	require.True(t, v.OK(), v)
	require.Equal(t, Verdict{Limit: 5, Issued: 5, Epoch: 1}, v)
}

func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	db := database(t)
	cases := map[string]struct {
		plant func(*scene)
		want  Verdict // besides Limit and Epoch
	}{
		"a row is deleted": {
			func(s *scene) { s.exec(`DELETE FROM coupons WHERE campaign_id = ? AND serial = 3`, s.id) },
			Verdict{Issued: 4, Lost: 1, Under: 1, Gaps: 1, Miscounted: 1},
		},
		"the last row is deleted": {
			func(s *scene) { s.exec(`DELETE FROM coupons WHERE campaign_id = ? AND serial = 5`, s.id) },
			Verdict{Issued: 4, Lost: 1, Under: 1, Miscounted: 1},
		},
		"a row is added": {
			func(s *scene) { s.row(6, "u-6", 1) },
			Verdict{Issued: 6, Over: 1, Miscounted: 1},
		},
		"places are free and somebody was told that all are gone": {
			func(s *scene) { s.exec(`UPDATE campaigns SET limit_count = 100 WHERE id = ?`, s.id) },
			Verdict{Issued: 5, Under: 3},
		},
		"a place came back and somebody was told that all are gone": {
			func(s *scene) {
				s.exec(`INSERT INTO stock_ledger (campaign_id, kind, delta, ref, created_at) VALUES (?, 'return', 1, 'x', '2026-01-01')`, s.id)
				s.exec(`UPDATE campaigns SET issued = 4 WHERE id = ?`, s.id)
			},
			Verdict{Issued: 5, Under: 1},
		},
		"a row of a stranger": {
			func(s *scene) {
				s.exec(`UPDATE coupons SET user_id = 'stranger' WHERE campaign_id = ? AND serial = 3`, s.id)
			},
			Verdict{Issued: 5, Lost: 1, Phantom: 1},
		},
		"a second row of a user": {
			func(s *scene) {
				s.exec(`UPDATE coupons SET user_id = 'u-1', n = 2 WHERE campaign_id = ? AND serial = 5`, s.id)
				s.answer(Answer{User: "u-1", N: 2, HTTP: 422, Code: coupon.CodePerUserLimit})
			},
			Verdict{Issued: 5, Lost: 1, Twice: 1},
		},
		"a changed serial": {
			func(s *scene) { s.exec(`UPDATE coupons SET serial = 70 WHERE campaign_id = ? AND serial = 3`, s.id) },
			Verdict{Issued: 5, Lost: 1, Gaps: 1},
		},
		"a live failed event": {
			func(s *scene) { s.fail("parked") },
			Verdict{Issued: 5, Failed: 1},
		},
		"the campaign counts wrongly": {
			func(s *scene) { s.exec(`UPDATE campaigns SET issued = 4 WHERE id = ?`, s.id) },
			Verdict{Issued: 5, Miscounted: 1},
		},
		"a holder is told sold out": {
			func(s *scene) { s.answer(Answer{User: "u-1", HTTP: 409, Code: coupon.CodeSoldOut}) },
			Verdict{Issued: 5, Wrong: 1},
		},
		"a holder is told that he may have none": {
			func(s *scene) { s.answer(Answer{User: "u-1", HTTP: 422, Code: coupon.CodePerUserLimit}) },
			Verdict{Issued: 5, Wrong: 1},
		},
		"a holder is told that there is no such campaign": {
			func(s *scene) { s.answer(Answer{User: "u-1", HTTP: 404, Code: coupon.CodeCampaignNotFound}) },
			Verdict{Issued: 5, Wrong: 1},
		},
		"a user is promised two serials": {
			func(s *scene) {
				s.answer(Answer{User: "u-1", HTTP: 200, Status: coupon.StatusIssued, Serial: 2, Replayed: true})
			},
			Verdict{Issued: 5, Twice: 1, Lost: 1},
		},
		"a second first grant": {
			func(s *scene) { s.promise("u-1", 1) },
			Verdict{Issued: 5, Wrong: 1},
		},
		"a holder's place is pending for the first time": {
			func(s *scene) { s.answer(Answer{User: "u-1", HTTP: 202, Status: coupon.StatusPending}) },
			Verdict{Issued: 5, Wrong: 1},
		},
		"two users are promised one serial": {
			func(s *scene) { s.promise("u-9", 5) },
			Verdict{Issued: 5, Wrong: 1, Lost: 1},
		},
		"an answer breaks the contract": {
			func(s *scene) {
				s.answer(Answer{User: "u-9", HTTP: 500, Code: "internal_error", Fault: "no answer to an apply"})
			},
			Verdict{Issued: 5, Wrong: 1},
		},
		"one who came later is served earlier": {
			func(s *scene) {
				s.answers[0].Serial, s.answers[1].Serial, s.answers[5].Serial = 2, 1, 2
				s.exec(`UPDATE coupons SET serial = 9 WHERE campaign_id = ? AND serial = 1`, s.id)
				s.exec(`UPDATE coupons SET serial = 1 WHERE campaign_id = ? AND serial = 2`, s.id)
				s.exec(`UPDATE coupons SET serial = 2 WHERE campaign_id = ? AND serial = 9`, s.id)
			},
			Verdict{Issued: 5, Unordered: 1},
		},
		"one who came first was told pending, and one who came later is served earlier": {
			func(s *scene) {
				s.answers[0].HTTP, s.answers[0].Status, s.answers[0].Serial = 503, "", 0
				s.answers[0].Code = coupon.CodeUnavailable
				s.answers[4].Serial, s.answers[5].Serial = 1, 5 // u-5, and u-1 at last
				s.exec(`UPDATE coupons SET serial = 9 WHERE campaign_id = ? AND serial = 1`, s.id)
				s.exec(`UPDATE coupons SET serial = 1 WHERE campaign_id = ? AND serial = 5`, s.id)
				s.exec(`UPDATE coupons SET serial = 5 WHERE campaign_id = ? AND serial = 9`, s.id)
			},
			Verdict{Issued: 5, Unordered: 1}, // u-5 after u-4; that u-1 came first binds nobody
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, db)
			c.plant(s)
			v := s.judge()
			got := v
			got.Findings, got.Limit, got.Epoch = nil, 0, 0
			require.Equal(t, c.want, got, v)
			require.False(t, v.OK(), v)
			require.NotEmpty(t, v.Findings)
		})
	}
}

func (s *scene) fail(status string) {
	s.t.Helper()
	s.exec(`INSERT INTO failed_events (event_key, campaign_id, payload, reason, status, next_attempt_at, created_at, updated_at)
		VALUES (?, ?, '', 'limit_reached', ?, '2026-01-01', '2026-01-01', '2026-01-01')`, s.campaign+status, s.id, status)
}

func TestNoFaults(t *testing.T) {
	t.Parallel()
	db := database(t)
	cases := map[string]func(*scene){
		"a failed event that was settled": func(s *scene) { s.fail("done"); s.fail("discarded"); s.fail("dead") },
		"gaps after the first epoch": func(s *scene) {
			s.exec(`UPDATE campaigns SET epoch = 2 WHERE id = ?`, s.id)
			s.exec(`UPDATE coupons SET serial = 12 WHERE campaign_id = ? AND serial = 5`, s.id)
			s.answers[4].Serial = 12
		},
		"a place that came back was taken again": func(s *scene) {
			s.exec(`INSERT INTO stock_ledger (campaign_id, kind, delta, ref, created_at) VALUES (?, 'return', 1, 'x', '2026-01-01')`, s.id)
			s.row(6, "u-9", 1)
			s.promise("u-9", 6)
		},
		"two who came at the same time are served in any order": func(s *scene) {
			s.answers[1].Sent = s.answers[0].Sent
			s.answers[0].Serial, s.answers[1].Serial, s.answers[5].Serial = 2, 1, 2
			s.exec(`UPDATE coupons SET serial = 9 WHERE campaign_id = ? AND serial = 1`, s.id)
			s.exec(`UPDATE coupons SET serial = 1 WHERE campaign_id = ? AND serial = 2`, s.id)
			s.exec(`UPDATE coupons SET serial = 2 WHERE campaign_id = ? AND serial = 9`, s.id)
		},
		"a holder is asked to come back later": func(s *scene) {
			s.answer(Answer{User: "u-1", HTTP: 503, Code: coupon.CodeOverloaded})
			s.answer(Answer{User: "u-1", HTTP: 200, Status: coupon.StatusPending, Replayed: true})
		},
		"a place that came back and nobody is left to take": func(s *scene) {
			s.exec(`INSERT INTO stock_ledger (campaign_id, kind, delta, ref, created_at) VALUES (?, 'return', 1, 'x', '2026-01-01')`, s.id)
			s.exec(`UPDATE campaigns SET issued = 4 WHERE id = ?`, s.id)
			s.answers = s.answers[:7]
		},
		"sold out was said before the promise came": func(s *scene) {
			s.answer(Answer{User: "u-1", HTTP: 409, Code: coupon.CodeSoldOut})
			last := &s.answers[len(s.answers)-1]
			last.Sent, last.Received = s.start, s.start.Add(time.Minute)
		},
		"a pending answer to somebody who did not come back": func(s *scene) {
			s.answer(Answer{User: "u-9", HTTP: 202, Status: coupon.StatusPending})
		},
		"free places nobody asked for": func(s *scene) {
			s.exec(`UPDATE campaigns SET limit_count = 100 WHERE id = ?`, s.id)
			s.answers = s.answers[:7]
			s.answer(Answer{User: "u-6", HTTP: 202, Status: coupon.StatusPending})
			s.answer(Answer{User: "u-7", HTTP: 503, Code: coupon.CodeOverloaded})
			s.answer(Answer{User: "u-8", Unknown: "connection reset"})
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, db)
			change(s)
			v := s.judge()
			require.True(t, v.OK(), v)
		})
	}
}

func TestTwoRowsForOneClaim(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := db.Exec(`ALTER TABLE coupons DROP KEY coupons_one_each`) // the wall that makes it impossible
	require.NoError(t, err)
	s := newScene(t, db)
	s.exec(`UPDATE coupons SET user_id = 'u-1' WHERE campaign_id = ? AND serial = 5`, s.id)
	v := s.judge()
	require.EqualValues(t, 1, v.Twice, v)
	require.False(t, v.OK())
}

func TestAnUnknownCampaignIsAnError(t *testing.T) {
	t.Parallel()
	_, err := Judge(t.Context(), database(t), "nobody-knows-it", nil)
	require.ErrorIs(t, err, sql.ErrNoRows)
}
