package witness

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/gob"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/told"
)

var plan = arrival.Plan{Profile: arrival.Drop, Users: 100, Campaigns: 1, Seed: 3}

// scene is a campaign of 5 at rest. Users 0 to 3 hold the serials 1 to 4; user 4 has the row 5 and got no answer; users 5
// to 9 were told that all are gone.
type scene struct {
	*Witness
	t     *testing.T
	db    *sql.DB
	id    int64
	clock time.Time
}

func database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := drop.Open(testenv.MySQL(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func newScene(t *testing.T, db *sql.DB) *scene {
	t.Helper()
	s := &scene{Witness: New(plan, []string{testenv.Campaign()}), t: t, db: db, clock: time.Now()}
	s.exec(`INSERT INTO campaigns (slug, name, limit_count, issued, status, epoch, epoch_state, starts_at, ends_at, created_at, updated_at)
		VALUES (?, 'Test', 5, 5, 'active', 1, 'active', '2026-01-01', '2036-01-01', '2026-01-01', '2026-01-01')`, s.campaigns[0])
	require.NoError(t, db.QueryRow(`SELECT id FROM campaigns WHERE slug = ?`, s.campaigns[0]).Scan(&s.id))
	for user := range uint64(5) {
		s.row(int64(user+1), s.users.Name(user))
	}
	for user := range uint64(4) {
		s.told(user, granted(told.Accepted, int64(user+1)))
		s.told(user, granted(told.Replayed, int64(user+1)))
	}
	s.told(4, told.Answer{Kind: told.Unknown})
	for user := uint64(5); user < 10; user++ {
		s.told(user, soldOut)
	}
	return s
}

func (s *scene) exec(statement string, args ...any) {
	s.t.Helper()
	_, err := s.db.Exec(statement, args...)
	require.NoError(s.t, err)
}

func (s *scene) row(serial int64, user string) {
	s.t.Helper()
	s.exec(`INSERT INTO coupons (campaign_id, serial, user_id, n, epoch, code, claimed_at, issued_at) VALUES (?, ?, ?, 1, 1, '', NOW(), NOW())`,
		s.id, serial, user)
}

// told adds an answer that was sent and received after all before it.
func (s *scene) told(user uint64, answer told.Answer) {
	s.clock = s.clock.Add(2 * time.Second)
	s.Add(user, answer, s.clock, s.clock.Add(time.Second))
}

func granted(kind told.Kind, serial int64) told.Answer {
	http := 202
	if kind == told.Replayed {
		http = 200
	}
	return told.Answer{Kind: kind, HTTP: http, Serial: serial, Status: []byte(coupon.StatusAccepted)}
}

var soldOut = told.Answer{Kind: told.SoldOut, HTTP: 409, Code: []byte(coupon.CodeSoldOut)}

func judge(t *testing.T, w *Witness, db *sql.DB) drop.Verdict {
	t.Helper()
	verdict, err := w.verdict(t.Context(), db, 0)
	require.NoError(t, err)
	return verdict
}

func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	db := database(t)
	cases := map[string]struct {
		plant func(*scene)
		want  drop.Verdict // besides Limit and Epoch
	}{
		"nothing": {func(*scene) {}, drop.Verdict{Issued: 5}},
		"a row is lost": {
			func(s *scene) { s.exec(`DELETE FROM coupons WHERE campaign_id = ? AND serial = 2`, s.id) },
			drop.Verdict{Issued: 4, Lost: 1, Under: 1, Gaps: 1, Miscounted: 1},
		},
		"a row too many": {
			func(s *scene) { s.row(6, s.users.Name(9)) },
			drop.Verdict{Issued: 6, Over: 1, Miscounted: 1},
		},
		"a row of somebody who never applied": {
			func(s *scene) {
				s.exec(`UPDATE coupons SET user_id = ? WHERE campaign_id = ? AND serial = 5`, s.users.Name(50), s.id)
			},
			drop.Verdict{Issued: 5, Phantom: 1},
		},
		"a row of a stranger": {
			func(s *scene) { s.exec(`UPDATE coupons SET user_id = 'me' WHERE campaign_id = ? AND serial = 5`, s.id) },
			drop.Verdict{Issued: 5, Phantom: 1},
		},
		"all gone while there are some": {
			func(s *scene) {
				s.exec(`DELETE FROM coupons WHERE campaign_id = ? AND serial = 5`, s.id)
				s.exec(`UPDATE campaigns SET issued = 4 WHERE id = ?`, s.id)
			},
			drop.Verdict{Issued: 4, Under: 1},
		},
		"a holder is refused": {func(s *scene) { s.told(1, soldOut) }, drop.Verdict{Issued: 5, Wrong: 1}},
		"a holder is refused for now": {
			func(s *scene) { s.told(1, told.Answer{Kind: told.Overloaded, HTTP: 503, Code: []byte("overloaded")}) }, drop.Verdict{Issued: 5},
		},
		"granted for the first time twice": {
			func(s *scene) { s.told(1, granted(told.Accepted, 2)) }, drop.Verdict{Issued: 5, Wrong: 1},
		},
		"two serials": {
			func(s *scene) { s.told(1, granted(told.Replayed, 5)) }, drop.Verdict{Issued: 5, Twice: 1, Lost: 1},
		},
		"a serial of two users": {
			func(s *scene) { s.told(20, granted(told.Accepted, 4)) }, drop.Verdict{Issued: 5, Lost: 1, Wrong: 1},
		},
		"against the contract": {
			func(s *scene) { s.told(30, told.Answer{Kind: told.Other, HTTP: 202, Fault: "no Location"}) }, drop.Verdict{Issued: 5, Wrong: 1},
		},
		"served before others who came earlier": {
			func(s *scene) {
				s.exec(`UPDATE coupons SET serial = 9 WHERE campaign_id = ? AND serial = 4`, s.id)
				s.exec(`UPDATE coupons SET serial = 4 WHERE campaign_id = ? AND serial = 1`, s.id)
				s.exec(`UPDATE coupons SET serial = 1 WHERE campaign_id = ? AND serial = 9`, s.id)
				for user, serial := range map[uint64]int64{0: 4, 3: 1} {
					p := s.lanes[user].promises[user]
					p.Serial = serial
					s.lanes[user].promises[user] = p
				}
			},
			drop.Verdict{Issued: 5, Unordered: 3},
		},
		"a late repeat tells nothing about order": {
			func(s *scene) {
				s.exec(`UPDATE coupons SET serial = 6 WHERE campaign_id = ? AND serial = 4`, s.id)
				s.exec(`UPDATE coupons SET serial = 4 WHERE campaign_id = ? AND serial = 5`, s.id)
				s.exec(`UPDATE coupons SET serial = 5 WHERE campaign_id = ? AND serial = 6`, s.id)
				p := s.lanes[3].promises[3]
				p.Serial = 5
				s.lanes[3].promises[3] = p
				s.told(4, granted(told.Replayed, 4)) // the claim of the try that had no answer
			},
			drop.Verdict{Issued: 5},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, db)
			c.plant(s)
			c.want.Limit, c.want.Epoch = 5, 1
			got := judge(t, s.Witness, db)
			require.Equal(t, c.want.Figures(), got.Figures(), "%s", got)

			merged, err := Merge(reread(t, s.State()))
			require.NoError(t, err)
			require.Equal(t, got, judge(t, merged, db), "what comes back from a file judges alike")
		})
	}
}

// reread writes a state to a file and reads it again.
func reread(t *testing.T, s State) (again State) {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, gob.NewEncoder(&file).Encode(s))
	require.NoError(t, gob.NewDecoder(&file).Decode(&again))
	return again
}

func TestShardsAreJudgedTogether(t *testing.T) {
	t.Parallel()
	db := database(t)
	s := newScene(t, db)
	parts := []*Witness{New(plan, s.campaigns), New(plan, s.campaigns)}
	for user, p := range s.State().Promises {
		parts[user%2].Add(user, granted(told.Accepted, p.Serial), time.Unix(0, p.Sent), time.Unix(0, p.Received))
	}
	parts[0].Add(4, told.Answer{Kind: told.Unknown}, s.clock, s.clock)
	whole, err := Merge(parts[0].State(), parts[1].State())
	require.NoError(t, err)
	require.True(t, judge(t, whole, db).OK())
	require.False(t, judge(t, parts[0], db).OK(), "half of the answers do not explain all rows")

	_, err = Merge(parts[0].State(), parts[0].State())
	require.ErrorContains(t, err, "same shard")
	other := parts[1].State()
	other.Plan.Seed++
	_, err = Merge(parts[0].State(), other)
	require.ErrorContains(t, err, "one plan")
	_, err = Merge()
	require.Error(t, err)
}

func TestWhatAHolderMayBeToldIsNotKept(t *testing.T) {
	t.Parallel()
	w := New(plan, []string{"any"})
	at := time.Now()
	later := at.Add(time.Second)
	w.Add(1, granted(told.Replayed, 1), at, later) // the answer to the second click came first
	w.Add(1, granted(told.Accepted, 1), at, later)
	require.True(t, w.State().Promises[1].First)
	for range mostOdd {
		w.Add(1, told.Answer{Kind: told.Other, HTTP: 503, Code: []byte(coupon.CodeUnavailable)}, later, later)
		w.Add(1, told.Answer{Kind: told.Pending, HTTP: 200, Status: []byte(coupon.StatusPending)}, later, later)
		w.Add(1, told.Answer{Kind: told.Unknown}, later, later)
	}
	require.Empty(t, w.State().Odd)
	w.Add(1, soldOut, later, later)
	require.Len(t, w.State().Odd, 1)
	w.Add(1, granted(told.Accepted, 1), later, later)
	require.Len(t, w.State().Odd, 2, "the first grant is told once")
}

// A claim that was not durable when its user was told is published again later, when the log has nothing to do meanwhile.
func TestWhatIsNotSettledIsWaitedFor(t *testing.T) {
	t.Parallel()
	db := database(t)
	s := newScene(t, db)
	s.exec(`DELETE FROM coupons WHERE campaign_id = ? AND serial = 5`, s.id)
	looks := 0
	verdicts, err := s.Judge(t.Context(), db, func(context.Context) (int64, error) {
		if looks++; looks == 10 {
			s.row(5, s.users.Name(4))
		}
		return 0, nil
	})
	require.NoError(t, err)
	require.True(t, verdicts[0].OK(), verdicts[0])
}

// TestSeveralCampaignsAreWaitedForOnce has an outcome that nobody knows, of the last of three campaigns.
func TestSeveralCampaignsAreWaitedForOnce(t *testing.T) {
	t.Parallel()
	db := database(t)
	scenes := []*scene{newScene(t, db), newScene(t, db), newScene(t, db)}
	three := arrival.Plan{Profile: arrival.Flat, Users: 100, Campaigns: 3, Even: true, Seed: 3}
	w := New(three, []string{scenes[0].campaigns[0], scenes[1].campaigns[0], scenes[2].campaigns[0]})
	late := uint64(0)
	for !three.Has(late, 2) {
		late++
	}
	w.Add(late, told.Answer{Kind: told.Unknown}, time.Now(), time.Now())
	for _, s := range scenes {
		s.exec(`DELETE FROM coupons WHERE campaign_id = ?`, s.id)
		s.exec(`UPDATE campaigns SET issued = 0 WHERE id = ?`, s.id)
	}
	looks := 0
	began := time.Now()
	verdicts, err := w.Judge(t.Context(), db, func(context.Context) (int64, error) {
		if looks++; looks == 10 {
			scenes[2].row(1, w.users.Name(late))
			scenes[2].exec(`UPDATE campaigns SET issued = 1 WHERE id = ?`, scenes[2].id)
		}
		return 0, nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, verdicts[2].Issued)
	for _, v := range verdicts {
		require.True(t, v.OK(), v)
	}
	require.Less(t, time.Since(began), 10*time.Second, "three times 5 s")
}

func TestOnlyPromisesAreKept(t *testing.T) {
	t.Parallel()
	w := New(arrival.Plan{Users: 1_000_000, Campaigns: 1}, []string{"any"})
	for user := range uint64(1_000_000) {
		w.Add(user, soldOut, time.Now(), time.Now())
	}
	w.Add(7, granted(told.Accepted, 1), time.Now(), time.Now())
	s := w.State()
	require.Len(t, s.Promises, 1)
	require.Empty(t, s.Odd)
	require.Len(t, s.SoldOut, 1_000_000/64)
	require.EqualValues(t, 1, w.promises(0))
}
