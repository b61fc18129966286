package outbox

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

var errAway = errors.New("away")

// stores is both ports: what is pending, a page at a time, and a log that may refuse.
type stores struct {
	waiting   int
	refuses   func(coupon.Claim) bool
	onTake    func(coupon.Take) error
	onPublish func(context.Context)
	onForget  func() error

	forgotten [][]coupon.Key
	pages     int
}

func (s *stores) TakePending(_ context.Context, campaign string, epoch int64, take coupon.Take) ([]coupon.Claim, error) {
	if s.onTake != nil {
		if err := s.onTake(take); err != nil {
			return nil, err
		}
	}
	claims := make([]coupon.Claim, min(s.waiting, take.Limit))
	for i := range claims {
		key := coupon.Key{Campaign: campaign, User: "u" + strconv.Itoa(s.waiting), N: 1}
		claims[i] = coupon.Claim{Key: key, Epoch: epoch, Serial: int64(s.waiting)}
		s.waiting--
	}
	return claims, nil
}

func (s *stores) PublishAll(ctx context.Context, claims []coupon.Claim) []error {
	s.pages++
	if s.onPublish != nil {
		s.onPublish(ctx)
	}
	errs := make([]error, len(claims))
	for i, c := range claims {
		if s.refuses != nil && s.refuses(c) {
			errs[i] = errAway
		}
	}
	return errs
}

func (s *stores) Forget(_ context.Context, _ string, _ int64, keys []coupon.Key) error {
	s.forgotten = append(s.forgotten, keys)
	if s.onForget != nil {
		return s.onForget()
	}
	return nil
}

func (s *stores) sweep(t *testing.T) (Swept, error) {
	t.Helper()
	return New(s, s).Sweep(t.Context(), "winter", 3, time.Second)
}

func TestSweepGoesOnUntilAPageIsNotFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ waiting, pages int }{
		{0, 0}, {1, 1}, {page - 1, 1}, {page, 1}, {page + 1, 2}, {3*page + 7, 4},
	} {
		s := &stores{waiting: c.waiting}
		swept, err := s.sweep(t)
		require.NoError(t, err)
		require.Equal(t, Swept{Taken: c.waiting, Published: c.waiting}, swept)
		require.Equal(t, c.pages, s.pages)
		require.Len(t, s.forgotten, c.pages, "nothing is forgotten where nothing was taken")
	}
}

func TestSweepForgetsOnlyWhatTheLogHas(t *testing.T) {
	t.Parallel()
	s := &stores{waiting: 3, refuses: func(c coupon.Claim) bool { return c.Serial == 2 }}
	swept, err := s.sweep(t)
	require.ErrorIs(t, err, errAway)
	require.Equal(t, Swept{Taken: 3, Published: 2}, swept)
	key := func(user string) coupon.Key { return coupon.Key{Campaign: "winter", User: user, N: 1} }
	require.Equal(t, [][]coupon.Key{{key("u3"), key("u1")}}, s.forgotten)
}

func TestSweepStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	fails := func() error { return errAway }
	takes := 0
	cases := []struct {
		name      string
		stores    stores
		want      Swept
		forgotten int
	}{
		{"nothing can be taken", stores{onTake: func(coupon.Take) error { return errAway }}, Swept{}, 0},
		{"the second page cannot be taken", stores{onTake: func(coupon.Take) error {
			if takes++; takes == 2 {
				return errAway
			}
			return nil
		}}, Swept{Taken: page, Published: page}, 1},
		{"the log is away", stores{refuses: func(coupon.Claim) bool { return true }}, Swept{Taken: page}, 0},
		{"the log takes a part", stores{refuses: func(c coupon.Claim) bool { return c.Serial%2 == 0 }}, Swept{Taken: page, Published: page / 2}, 1},
		{"nothing can be forgotten", stores{onForget: fails}, Swept{Taken: page, Published: page}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.stores
			s.waiting = 3 * page
			swept, err := s.sweep(t)
			require.ErrorIs(t, err, errAway)
			require.Equal(t, c.want, swept)
			require.Len(t, s.forgotten, c.forgotten)
		})
	}
}

// A slow page uses up no other page's time, and its lease outlives it.
func TestSweepGivesEachPageItsOwnTime(t *testing.T) {
	t.Parallel()
	var before time.Time
	s := &stores{waiting: 2*page + 1}
	s.onTake = func(take coupon.Take) error {
		require.Equal(t, coupon.Take{Limit: page, Lease: lease, Overdue: time.Second}, take)
		before = time.Now()
		return nil
	}
	s.onPublish = func(ctx context.Context) {
		deadline, ok := ctx.Deadline()
		require.True(t, ok)
		require.WithinRange(t, deadline, before.Add(bound), before.Add(lease))
	}
	_, err := s.sweep(t)
	require.NoError(t, err)
	require.Equal(t, 3, s.pages)
}

func TestFlushTakesWhatNobodyElseMay(t *testing.T) {
	t.Parallel()
	s := &stores{waiting: 2*page + 1}
	s.onTake = func(take coupon.Take) error {
		require.Equal(t, page, take.Limit)
		require.Less(t, take.Overdue, -lease, "what is not due, and what is leased")
		require.Greater(t, take.Lease, -take.Overdue, "what was taken must not be taken again, or the flush might never end")
		return nil
	}
	require.NoError(t, New(s, s).Flush(t.Context(), "winter", 3))
	require.Zero(t, s.waiting)
	require.Len(t, s.forgotten, 3)
}
