package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func retire(c *coupon.Campaign) { c.Status, c.EpochState = coupon.CampaignClosed, coupon.EpochClosed }

func fenceInSQL(c *coupon.Campaign) { c.Mode, c.EpochState = coupon.ModeSQL, coupon.EpochFencing }

func openInSQL(c *coupon.Campaign) { c.Mode, c.NextSerial = coupon.ModeSQL, 1 }

// holding makes a bench whose Redis must not be asked, and whose MySQL has a row of "row" and a parked event of "parked".
func holding(t *testing.T, change func(c *coupon.Campaign)) *bench {
	t.Helper()
	b := setup(t)
	b.see(t, change)
	b.claim = func([]coupon.Key) ([]coupon.Decision, error) { panic("Redis is not to be asked") }
	b.held = func(coupon.Key) (coupon.Decision, error) { panic("Redis is not to be asked") }
	b.row = func(k coupon.Key) (coupon.Coupon, bool, error) {
		claim := coupon.Claim{Key: k, Epoch: 1, Serial: 7}
		return coupon.Coupon{Claim: claim, Status: coupon.CouponCancelled}, k.User == "row", nil
	}
	b.failure = func(k coupon.Key) (coupon.FailureStatus, bool, error) {
		return coupon.FailureParked, k.User == "parked", nil
	}
	return b
}

func TestHoldersAreAnsweredWhereNobodyDecides(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(c *coupon.Campaign)
		others coupon.Code
	}{
		"retired":             {retire, coupon.CodeCampaignEnded},
		"on its way from sql": {fenceInSQL, coupon.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := holding(t, c.change)
			answer, err := b.service.Apply(t.Context(), key("row"))
			require.NoError(t, err)
			require.Equal(t, coupon.StatusIssued, answer.Status)
			require.True(t, answer.Replayed)
			require.Equal(t, int64(7), answer.Claim.Serial)
			require.Equal(t, coupon.CouponCancelled, answer.Coupon.Status, "a cancelled coupon's claim stays issued")

			answer, err = b.service.Apply(t.Context(), key("parked"))
			require.NoError(t, err)
			require.Equal(t, coupon.StatusFailed, answer.Status)

			_, err = b.service.Apply(t.Context(), key("nobody"))
			require.Equal(t, c.others, coupon.CodeOf(err))

			b.failure = func(coupon.Key) (coupon.FailureStatus, bool, error) { return "", false, errAway }
			_, err = b.service.Apply(t.Context(), key("row"))
			require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
		})
	}
}

// A closed campaign grants nothing more, so what MySQL has of a user is all there is; of the others Redis alone knows.
func TestHoldersOfAClosedCampaignAreAnsweredWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	b := holding(t, func(c *coupon.Campaign) { c.Status = coupon.CampaignClosed })
	b.claim = func([]coupon.Key) ([]coupon.Decision, error) { return nil, errAway }
	b.held = func(coupon.Key) (coupon.Decision, error) { return coupon.Decision{}, errAway }
	for user, want := range map[string]coupon.ClaimStatus{"row": coupon.StatusIssued, "parked": coupon.StatusFailed} {
		answer, err := b.service.Apply(t.Context(), key(user))
		require.NoError(t, err)
		require.Equal(t, want, answer.Status)
		require.True(t, answer.Replayed)
		answer, err = b.service.Claim(t.Context(), key(user))
		require.NoError(t, err)
		require.Equal(t, want, answer.Status)
	}
	_, err := b.service.Apply(t.Context(), key("nobody"))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
	_, err = b.service.Claim(t.Context(), key("nobody"))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))

	b.see(t, func(c *coupon.Campaign) { c.Status = coupon.CampaignPaused })
	_, err = b.service.Apply(t.Context(), key("row"))
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "an open campaign's crowd is not for MySQL to answer")
}

func TestAClaimIsReadWithoutRedisWhereItKnowsNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *coupon.Campaign){"retired": retire, "in sql": openInSQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := holding(t, change)
			for user, want := range map[string]coupon.ClaimStatus{"row": coupon.StatusIssued, "parked": coupon.StatusFailed} {
				answer, err := b.service.Claim(t.Context(), key(user))
				require.NoError(t, err)
				require.Equal(t, want, answer.Status)
			}
			_, err := b.service.Claim(t.Context(), key("nobody"))
			require.Equal(t, coupon.CodeClaimNotFound, coupon.CodeOf(err))

			b.standing = func() (coupon.Standing, error) { return coupon.Standing{Epoch: 2, State: coupon.EpochActive}, nil }
			_, err = b.service.Claim(t.Context(), key("nobody"))
			require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "the next epoch may know of it")
		})
	}
}

func TestAWishIsToldAsItWasSettled(t *testing.T) {
	t.Parallel()
	row := coupon.Coupon{Claim: coupon.Claim{Key: key("u"), Epoch: 1, Serial: 7}, Code: "X"}
	cases := map[string]struct {
		settled  coupon.Settled
		status   coupon.ClaimStatus
		replayed bool
		code     coupon.Code
	}{
		"granted":      {coupon.Settled{Verdict: coupon.Granted, Status: coupon.StatusIssued, Coupon: &row}, coupon.StatusIssued, false, ""},
		"held":         {coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusIssued, Coupon: &row}, coupon.StatusIssued, true, ""},
		"held, parked": {coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusFailed}, coupon.StatusFailed, true, ""},
		"sold out":     {coupon.Settled{Verdict: coupon.RefusedSoldOut}, "", false, coupon.CodeSoldOut},
		"paused":       {coupon.Settled{Verdict: coupon.RefusedPaused}, "", false, coupon.CodeCampaignPaused},
		"other epoch":  {coupon.Settled{Verdict: coupon.WrongEpoch}, "", false, coupon.CodeUnavailable},
		"no place":     {coupon.Settled{Verdict: coupon.Broken}, "", false, coupon.CodeUnavailable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := holding(t, openInSQL)
			b.direct = settledAs(c.settled)
			answer, err := b.service.Apply(t.Context(), key("u"))
			require.Equal(t, c.code, coupon.CodeOf(err))
			require.Equal(t, c.status, answer.Status)
			require.Equal(t, c.replayed, answer.Replayed)
			require.NoError(t, b.service.Drain(t.Context()))
			require.Empty(t, b.published)
			require.Empty(t, b.forgotten)
		})
	}
}

// A producer that is full says nothing about the log.
func TestAFullProducerDoesNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	for code, away := range map[coupon.Code]bool{coupon.CodeOverloaded: false, coupon.CodeUnavailable: true} {
		b := setup(t)
		b.publish = func(coupon.Claim) error { return coupon.NewError(code, "") }
		for _, user := range []string{"a", "b", "c"} {
			answer, err := b.service.Apply(t.Context(), key(user))
			require.NoError(t, err)
			require.Equal(t, coupon.StatusIssued, answer.Status)
		}
		require.Equal(t, away, b.service.log.away())
	}
}

func TestTheLogBreakerOpensAndCloses(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	claim := coupon.Claim{Serial: 7}
	b := &logBreaker{logger: slog.New(slog.DiscardHandler)}
	require.True(t, b.begin(now, claim))
	require.True(t, b.begin(now.Add(logPatience-1), claim))
	_, due := b.probe(now)
	require.False(t, due, "nothing to probe while it is closed")
	require.False(t, b.begin(now.Add(logPatience), claim), "tried for long without an ack")
	probe, due := b.probe(now)
	require.True(t, due)
	require.Equal(t, claim, probe)
	_, due = b.probe(now.Add(logProbeEvery - 1))
	require.False(t, due)
	_, due = b.probe(now.Add(logProbeEvery))
	require.True(t, due)

	b.acked()
	require.True(t, b.begin(now.Add(time.Hour), claim), "the wait starts anew")
	for range logFailures - 1 {
		b.failed()
		require.False(t, b.away())
	}
	b.failed()
	require.True(t, b.away())
}

// A campaign that the database answers "no" to, again and again, is not a database that is away: the grants of the other
// campaigns are confirmed all the same.
func TestACampaignThatCannotBeIssuedIsNoOutage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		away bool
	}{
		"an answer":         {errors.New("issue directly: validity of campaign winter: unexpected end of JSON input"), false},
		"a domain error":    {errCampaignNotFound, false},
		"no answer":         {errAway, true},
		"a passed deadline": {fmt.Errorf("issue directly: %w", context.DeadlineExceeded), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.see(t, openInSQL)
			b.direct = func([]coupon.Claim) ([]coupon.Settled, error) { return nil, c.err }
			_, err := b.service.Apply(t.Context(), key("u"))
			require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err))
			require.Equal(t, c.away, b.service.database.away())
		})
	}
}

func TestADatabaseThatFailedIsAskedAgainOnceTheViewIsRefreshed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := 0
	b.standing = func() (coupon.Standing, error) { asked++; return coupon.Standing{}, errAway }
	for _, user := range []string{"a", "b", "c"} {
		answer, err := b.service.Apply(t.Context(), key(user))
		require.NoError(t, err)
		require.Equal(t, coupon.StatusPending, answer.Status)
	}
	require.Equal(t, 1, asked)

	b.viewErr = errAway
	require.Error(t, b.service.view.Refresh(t.Context()))
	require.True(t, b.service.database.away())
	b.viewErr = nil
	require.NoError(t, b.service.view.Refresh(t.Context()))
	b.standing = func() (coupon.Standing, error) { return coupon.Standing{Epoch: 1, State: coupon.EpochActive}, nil }
	answer, err := b.service.Apply(t.Context(), key("d"))
	require.NoError(t, err)
	require.Equal(t, coupon.StatusAccepted, answer.Status)
}
