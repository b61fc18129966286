package apply

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestApplyIsAcceptedOnlyAfterAckAndConfirm(t *testing.T) {
	t.Parallel()
	down := errors.New("away")
	held := granted(key("u"), 7)
	held.Verdict = coupon.Held
	acked := held
	acked.Mark = coupon.MarkAcked
	carried := held
	carried.Mark = coupon.MarkCarried
	row := coupon.Coupon{Claim: coupon.Claim{Key: key("u"), Epoch: 1, Serial: 7}, Code: "X", Status: coupon.CouponActive}

	cases := []struct {
		name      string
		change    func(b *bench)
		status    coupon.ClaimStatus
		replayed  bool
		published int
		forgotten int
	}{
		{"all well", func(*bench) {}, coupon.StatusAccepted, false, 1, 1},
		{"log silent", func(b *bench) { b.publish = func(coupon.Claim) error { return down } }, coupon.StatusIssued, false, 1, 1},
		{"log silent, database silent", func(b *bench) {
			b.publish = func(coupon.Claim) error { return down }
			b.direct = func([]coupon.Claim) ([]coupon.Settled, error) { return nil, down }
		}, coupon.StatusPending, false, 1, 0},
		{"log silent, epoch fenced", func(b *bench) {
			b.publish = func(coupon.Claim) error { return down }
			b.direct = settledAs(coupon.Settled{Verdict: coupon.WrongEpoch})
		}, coupon.StatusPending, false, 1, 0},
		{"log silent, epoch fenced, another grant's row there", func(b *bench) {
			b.publish = func(coupon.Claim) error { return down }
			b.direct = settledAs(coupon.Settled{Verdict: coupon.WrongEpoch})
			b.row = func(coupon.Key) (coupon.Coupon, bool, error) { return row, true, nil }
		}, coupon.StatusIssued, true, 1, 0},
		{"log silent, parked", func(b *bench) {
			b.publish = func(coupon.Claim) error { return down }
			b.direct = settledAs(coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusFailed})
		}, coupon.StatusFailed, false, 1, 0},
		{"log silent, the wall held", func(b *bench) {
			b.publish = func(coupon.Claim) error { return down }
			b.direct = settledAs(coupon.Settled{Verdict: coupon.RefusedSoldOut})
		}, coupon.StatusPending, false, 1, 0},
		{"log silent, served under another serial", func(b *bench) {
			b.publish = func(coupon.Claim) error { return down }
			b.direct = settledAs(coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusIssued, Coupon: &row})
		}, coupon.StatusIssued, true, 1, 0},
		{"carried, now a row", func(b *bench) {
			b.claim = one(carried)
			b.row = func(coupon.Key) (coupon.Coupon, bool, error) { return row, true, nil }
		}, coupon.StatusIssued, true, 0, 0},
		{"carried, parked", func(b *bench) {
			b.claim = one(carried)
			b.failure = func(coupon.Key) (coupon.FailureStatus, bool, error) { return coupon.FailureParked, true, nil }
		}, coupon.StatusFailed, true, 0, 0},
		{"carried, to be retried", func(b *bench) {
			b.claim = one(carried)
			b.failure = func(coupon.Key) (coupon.FailureStatus, bool, error) { return coupon.FailureLeased, true, nil }
		}, coupon.StatusPending, true, 0, 0},
		{"carried, database silent", func(b *bench) {
			b.claim = one(carried)
			b.row = func(coupon.Key) (coupon.Coupon, bool, error) { return coupon.Coupon{}, false, down }
		}, coupon.StatusPending, true, 0, 0},
		{"confirm silent", func(b *bench) { b.standing = func() (coupon.Standing, error) { return coupon.Standing{}, down } }, coupon.StatusPending, false, 1, 1},
		{"epoch fencing", func(b *bench) {
			b.standing = func() (coupon.Standing, error) { return coupon.Standing{Epoch: 1, State: coupon.EpochFencing}, nil }
		}, coupon.StatusPending, false, 1, 1},
		{"next epoch", func(b *bench) {
			b.standing = func() (coupon.Standing, error) { return coupon.Standing{Epoch: 2, State: coupon.EpochActive}, nil }
		}, coupon.StatusPending, false, 1, 1},
		{"next epoch, another grant's row there", func(b *bench) {
			b.standing = func() (coupon.Standing, error) { return coupon.Standing{Epoch: 2, State: coupon.EpochActive}, nil }
			b.row = func(coupon.Key) (coupon.Coupon, bool, error) { return row, true, nil }
		}, coupon.StatusIssued, true, 1, 1},
		{"next epoch, own row there", func(b *bench) {
			b.standing = func() (coupon.Standing, error) { return coupon.Standing{Epoch: 2, State: coupon.EpochActive}, nil }
			b.row = func(k coupon.Key) (coupon.Coupon, bool, error) {
				return coupon.Coupon{Claim: coupon.Claim{Key: k, Serial: 1}}, true, nil
			}
		}, coupon.StatusIssued, false, 1, 1},
		{"repeat, not known acked, helps", func(b *bench) { b.claim = one(held) }, coupon.StatusAccepted, true, 1, 1},
		{"repeat, acked, rides the confirm", func(b *bench) { b.claim = one(acked) }, coupon.StatusAccepted, true, 0, 0},
		{"repeat, acked, confirm silent", func(b *bench) {
			b.claim = one(acked)
			b.standing = func() (coupon.Standing, error) { return coupon.Standing{}, down }
		}, coupon.StatusPending, true, 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			c.change(b)
			answer, err := b.service.Apply(t.Context(), key("u"))
			require.NoError(t, err)
			require.NoError(t, b.service.Drain(t.Context()))
			require.Equal(t, c.status, answer.Status)
			require.Equal(t, c.replayed, answer.Replayed)
			require.Len(t, b.published, c.published)
			require.Len(t, b.forgotten, c.forgotten)
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	cases := map[coupon.Verdict]coupon.Code{
		coupon.RefusedSoldOut:      coupon.CodeSoldOut,
		coupon.RefusedNotStarted:   coupon.CodeCampaignNotStarted,
		coupon.RefusedEnded:        coupon.CodeCampaignEnded,
		coupon.RefusedPaused:       coupon.CodeCampaignPaused,
		coupon.RefusedPerUserLimit: coupon.CodePerUserLimit,
		coupon.WrongEpoch:          coupon.CodeUnavailable,
		coupon.Unsealed:            coupon.CodeUnavailable,
		coupon.Broken:              coupon.CodeUnavailable,
	}
	for verdict, code := range cases {
		b := setup(t)
		b.claim = one(coupon.Decision{Verdict: verdict})
		_, err := b.service.Apply(t.Context(), key("u"))
		require.Equal(t, code, coupon.CodeOf(err))
		require.NoError(t, b.service.Drain(t.Context()))
		require.Empty(t, b.published)
	}
}

func TestWhatTheViewRefusesCostsNoRoundTrip(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.claim = func([]coupon.Key) ([]coupon.Decision, error) { return nil, errors.New("asked") }
	_, err := b.service.Apply(t.Context(), coupon.Key{Campaign: campaignID, User: "u", N: 3})
	require.Equal(t, coupon.CodePerUserLimit, coupon.CodeOf(err))
}

func TestAPanicInAStageIsKeptToItsBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	grant := b.claim
	b.claim = func([]coupon.Key) ([]coupon.Decision, error) { panic("claim") }
	_, err := b.service.Apply(t.Context(), key("a"))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))

	b.claim = grant
	b.standing = func() (coupon.Standing, error) { panic("confirm") }
	answer, err := b.service.Apply(t.Context(), key("b"))
	require.NoError(t, err)
	require.Equal(t, coupon.StatusPending, answer.Status)

	b.standing = func() (coupon.Standing, error) { return coupon.Standing{Epoch: 1, State: coupon.EpochActive}, nil }
	answer, err = b.service.Apply(t.Context(), key("c"))
	require.NoError(t, err)
	require.Equal(t, coupon.StatusAccepted, answer.Status)
	require.NoError(t, b.service.Drain(t.Context()))
}

func TestADrainedServiceTakesNothingMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.service.Drain(t.Context()))
	_, err := b.service.Apply(t.Context(), key("u"))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	require.Empty(t, b.published)
}

func TestAClaimCallThatFailedIsUnknownNotRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.claim = func([]coupon.Key) ([]coupon.Decision, error) { return nil, context.DeadlineExceeded }
	_, err := b.service.Apply(t.Context(), key("u"))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
}

func TestAFullQueueIsRefusedAsOverloaded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.service.inFlight.limit = 1
	stuck, release := make(chan struct{}), make(chan struct{})
	b.claim = func(keys []coupon.Key) ([]coupon.Decision, error) {
		close(stuck)
		<-release
		return b.grantAll(keys)
	}
	first := make(chan error, 1)
	go func() {
		_, err := b.service.Apply(t.Context(), key("a"))
		first <- err
	}()
	<-stuck
	_, err := b.service.Apply(t.Context(), key("b"))
	require.Equal(t, coupon.CodeOverloaded, coupon.CodeOf(err))
	close(release)
	require.NoError(t, <-first)
}

func TestACallerThatLeavesDoesNotAbandonItsGrant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	claimed, release := make(chan struct{}), make(chan struct{})
	b.claim = func(keys []coupon.Key) ([]coupon.Decision, error) {
		close(claimed)
		<-release
		return b.grantAll(keys)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := b.service.Apply(ctx, key("u"))
		left <- err
	}()
	<-claimed
	leave()
	require.ErrorIs(t, <-left, context.Canceled)
	close(release)
	require.NoError(t, b.service.Drain(t.Context()))
	require.Len(t, b.published, 1)
	require.Equal(t, []coupon.Key{key("u")}, b.forgotten)
}

func TestAConfirmThatComesTooLateSaysPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.standing = func() (coupon.Standing, error) {
			time.Sleep(latestAnswer - confirmDeadline + 1) //nolint:forbidigo // the bubble's fake clock: the database takes its time
			return coupon.Standing{Epoch: 1, State: coupon.EpochActive}, nil
		}
		first := make(chan Answer, 1)
		go func() {
			a, err := b.service.Apply(t.Context(), key("a"))
			if err != nil {
				t.Error(err)
			}
			first <- a
		}()
		synctest.Wait() // the first confirm read is in flight
		second, err := b.service.Apply(t.Context(), key("b"))
		require.NoError(t, err)
		require.Equal(t, coupon.StatusPending, second.Status, "waited too long behind the first read")
		require.Equal(t, coupon.StatusAccepted, (<-first).Status)
	})
}

// A caller that leaves keeps its place in the bounded queue until its ticket is through.
func TestCallersThatLeaveKeepTheQueueBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.service.inFlight.limit = 10
	release := make(chan struct{})
	stuck := make(chan struct{}, 1)
	b.claim = func(keys []coupon.Key) ([]coupon.Decision, error) {
		select {
		case stuck <- struct{}{}:
		default:
		}
		<-release
		return b.grantAll(keys)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 5000 {
		_, _ = b.service.Apply(gone, key("u"))
	}
	<-stuck
	campaign, _ := b.service.view.Campaign(campaignID)
	lane := b.service.lane(campaign)
	b.service.claims.mu.Lock()
	queued := len(lane.waiting)
	b.service.claims.mu.Unlock()
	close(release)
	require.LessOrEqual(t, queued, 10)
}

// A queue of calls that each wait out their deadline would keep the last caller for seconds.
func TestASilentRedisIsAnsweredWithinTwoCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.service.inFlight.limit = 8192
		b.claim = func([]coupon.Key) ([]coupon.Decision, error) {
			time.Sleep(claimDeadline) //nolint:forbidigo // the bubble's fake clock
			return nil, context.DeadlineExceeded
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var worst time.Duration
		for range 8192 {
			wg.Go(func() {
				start := time.Now()
				_, err := b.service.Apply(t.Context(), key("u"))
				if coupon.CodeOf(err) != coupon.CodeUnavailable {
					t.Error(err)
				}
				mu.Lock()
				worst = max(worst, time.Since(start))
				mu.Unlock()
			})
		}
		wg.Wait()
		require.LessOrEqual(t, worst, 200*time.Millisecond)
	})
}

func TestManyCallersEachGetOneClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const callers = 500
	serials := make([]int64, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			a, err := b.service.Apply(t.Context(), key("u"))
			if err != nil {
				t.Error(err)
			}
			serials[i] = a.Claim.Serial
		})
	}
	wg.Wait()
	require.NoError(t, b.service.Drain(t.Context()))
	seen := map[int64]bool{}
	for _, s := range serials {
		require.False(t, seen[s], "serial %d was answered twice", s)
		seen[s] = true
	}
	require.Len(t, b.forgotten, callers)
}
